"""Operations of senders on their tasks, all by way of the store's one commit path."""

from __future__ import annotations

from time import monotonic
from typing import NamedTuple

from buntime_keyval.wire.tasks import NewTask

from buntime_plugin_keyval.engine.decisions import Decision, Write
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.features.tasks.waiting import CallWatch
from buntime_plugin_keyval.features.tasks.writer import TaskWriter
from buntime_plugin_keyval.model.errors import TaskConflict, TaskNotFound
from buntime_plugin_keyval.model.messages import new_id
from buntime_plugin_keyval.requests.answers import Gone
from buntime_plugin_keyval.storage import task_effects
from buntime_plugin_keyval.storage.replays import Kept
from buntime_plugin_keyval.storage.tasks import (
    StoredTask,
    WantedTasks,
    list_tasks,
    read_task,
    read_unique,
)


class SentTask(NamedTuple):
    """The result of sending a task."""

    task: StoredTask
    is_new: bool
    """False if there was a task already with its id, or an unfinished one with its unique text."""


class TaskDesk:
    """The tasks of one store, for sending, managing and awaiting them."""

    def __init__(self, writer: TaskWriter) -> None:
        self._writer = writer
        self._store = writer.store
        self._room = writer.room
        self.recorder = writer.store.recorder

    @measured("task_send")
    async def send(self, new: NewTask, once: Once | None = None) -> SentTask:
        """Make a task; one that is to run after a task that does not exist fails at once.

        Raises `TaskConflict` if a task of another name has its id.
        """
        task_id = new.options.id or new_id()
        effect = task_effects.AddTask(task_id, new)
        while True:
            decision = Decision[tuple[str, bool]](
                [effect], lambda results, _: (task_id, results[0].rowcount > 0), task_id
            )
            write = Write(
                lambda _, made=decision: made,  # type: ignore[misc] # the decision of this round
                size=len(new.payload),
                recall=_recall_sent,
                has_counts=True,
            )
            made_id, is_new = await self._store.write(write, once)
            if is_new:
                self._room.wake()
            found = await self._found(made_id, new, is_new=is_new)
            if found is not None:
                return SentTask(found, is_new)

    async def _found(self, task_id: str, new: NewTask, *, is_new: bool) -> StoredTask | None:
        """The task that was sent, or the one in its place; None if that one is over by now."""
        db, now_ms = self._store.db, self._store.clock.now()
        found = await read_task(db, task_id, now_ms)
        if found is None and not is_new and new.options.unique is not None:
            other = await read_unique(db, new.name, new.options.unique, now_ms)
            if other is not None and other.status == "cancelled":
                raise TaskConflict(
                    f"The task {other.id} with the unique text {other.unique} is cancelled, but its"
                    " runner has not stopped yet: try again"
                )
            return other
        if found is None:
            raise TaskNotFound(task_id)
        if not is_new and found.name != new.name:
            raise TaskConflict(f"The id {task_id} is in use by a task with another name")
        return found

    @measured("task_get")
    async def find(self, task_id: str) -> StoredTask | None:
        return await read_task(self._store.db, task_id, self._store.clock.now())

    async def get(self, task_id: str) -> StoredTask:
        """A task. Raises `TaskNotFound`."""
        task = await self.find(task_id)
        if task is None:
            raise TaskNotFound(task_id)
        return task

    async def name_of(self, task_id: str) -> str | None:
        sql = self._store.sql.tasks.name_of
        rows = await self._store.adapter.query(sql, (task_id,), point=True, fresh=True)
        return str(rows[0][0]) if rows else None

    @measured("task_list")
    async def newest(self, wanted: WantedTasks) -> list[StoredTask]:
        """Tasks, the newest first."""
        return await list_tasks(self._store.db, wanted, self._store.clock.now())

    async def counts(self, name: str | None = None) -> dict[str, dict[str, int]]:
        """The number of tasks by name and status."""
        args = (self._store.clock.now(), name)
        found: dict[str, dict[str, int]] = {}
        for of_name, status, number in await self._store.adapter.query(
            self._store.sql.tasks.counts, args
        ):
            found.setdefault(str(of_name), {})[str(status)] = int(number or 0)
        return dict(sorted(found.items()))

    async def wait(self, task_id: str, wait_ms: int, gone: Gone | None = None) -> StoredTask:
        """A task once it is over, or as it is after `wait_ms`. Raises `TaskNotFound`."""
        arrival = self._room.watch([task_id])
        watching = CallWatch(gone, arrival.tell)
        ends = monotonic() + wait_ms / 1000
        try:
            while True:
                task = await self.get(task_id)
                left = ends - monotonic()
                if task.is_over or left <= 0 or self._room.has_ended():
                    return task
                await arrival.wait(left)
                if watching.has_gone():
                    return task
        finally:
            watching.stop()
            self._room.forget([task_id], arrival)

    @measured("task_cancel")
    async def cancel(self, task_id: str, once: Once | None = None) -> StoredTask:
        """Cancel a task unless it is over; the task as it is then. Raises `TaskNotFound`.

        A running task keeps its place until its runner stops or its lease ends.
        """
        await self._writer.commit(task_effects.CancelTask(task_id), once=once)
        self._writer.settled(task_id)
        return await self.get(task_id)

    @measured("task_retry")
    async def retry(self, task_id: str, once: Once | None = None) -> StoredTask:
        """Run a task that failed or was cancelled once more, as if it were new.

        Raises `TaskNotFound`, and `TaskConflict` for a task in another state, or if an unfinished
        one has the same name and unique text.
        """
        again, *_ = await self._writer.commit(task_effects.Again(task_id), once=once)
        task = await self.get(task_id)
        if not again.rowcount:
            if task.status == "cancelled" and task.completed_at is None:
                raise TaskConflict(
                    f"The task {task_id} is cancelled, but its runner has not stopped yet"
                )
            if task.status not in ("failed", "cancelled"):
                raise TaskConflict(
                    f"The task {task_id} is {task.status}: only one that failed or was cancelled"
                    " is run again"
                )
            raise TaskConflict(
                f"Another task {task.name} that is not over has the unique text {task.unique}"
            )
        self._room.wake()
        return task

    @measured("task_delete")
    async def delete(self, task_id: str, once: Once | None = None) -> bool:
        """Remove a task, whatever its status; whether it was there."""
        over = task_effects.CancelTask(task_id), task_effects.LeavePlace(task_id, None)
        *_, removed = await self._writer.commit(*over, task_effects.ForgetTask(task_id), once=once)
        self._writer.settled(task_id)
        return removed.rowcount > 0

    async def forget_old(self, limit: int) -> int:
        """Remove at most `limit` tasks that need not be kept any longer; how many there were."""
        (removed,) = await self._writer.commit(task_effects.ForgetOldTasks(limit))
        return removed.rowcount


def _recall_sent(kept: Kept) -> tuple[str, bool]:
    return str(kept.told), bool(kept.counts[0])
