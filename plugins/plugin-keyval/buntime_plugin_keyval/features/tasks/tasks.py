"""Operations on tasks, all through the store's one commit path."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from buntime_database import DatabaseError, Guard, GuardFailed, ResultSet, Value
from buntime_keyval.wire.tasks import NewTask, pause_behind

from buntime_plugin_keyval.engine.decisions import Decision, Write
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.engine.writes import of_effects
from buntime_plugin_keyval.features.queue.queue import LEASE_EXPIRED, Queue
from buntime_plugin_keyval.features.tasks.waiting import Caller, Names, WaitingRoom
from buntime_plugin_keyval.model.errors import KeyValError, TaskConflict, TaskLost, TaskNotFound
from buntime_plugin_keyval.model.messages import LeasedMessage, new_id
from buntime_plugin_keyval.requests.answers import Gone
from buntime_plugin_keyval.storage.dialects.tasks import MARK
from buntime_plugin_keyval.storage.effects import Effect
from buntime_plugin_keyval.storage.message_effects import (
    LEASE_BYTES,
    Extend,
    Lease,
    Retry,
    Undeliver,
)
from buntime_plugin_keyval.storage.replays import Kept
from buntime_plugin_keyval.storage.task_effects import (
    AddTask,
    Again,
    BeginTasks,
    CancelTask,
    CompletedTask,
    CompleteTasks,
    Finish,
    ForgetOldTasks,
    ForgetTask,
    LeavePlace,
    Progress,
    Stop,
    is_leased,
    message_id,
)
from buntime_plugin_keyval.storage.tasks import (
    StoredTask,
    TakenTask,
    WantedTasks,
    list_tasks,
    read_several,
    read_task,
    read_unique,
)


class SentTask(NamedTuple):
    """What came of sending a task."""

    task: StoredTask
    is_new: bool
    """False where it was there already: its id, or an unfinished one with its unique text."""


class Run(NamedTuple):
    """A task that a runner has."""

    name: str
    task: TakenTask
    token: str
    ends_at: int
    """When the lease ends unless it is prolonged, in the store's time."""


class Heard(NamedTuple):
    """What a runner is told that says something of its task."""

    cancelled: bool
    ends_at: int | None = None
    """When the lease ends now, in the store's time; None if there is none any more."""
    lost: bool = False
    """Among several: the task is not run under this token any more."""


class RunnerCall(NamedTuple):
    """What a runner asks for."""

    runner: str
    names: Names
    limit: int
    duration_ms: int


class TaskDesk:
    """The tasks of one store."""

    def __init__(self, store: Store, queue: Queue, *, foreign_poll_ms: int) -> None:
        self._store = store
        self._queue = queue
        self.recorder = store.recorder
        self.room = WaitingRoom(store, foreign_poll_ms=foreign_poll_ms)
        self._giving: set[asyncio.Task[None]] = set()
        queue.end_otherwise(MARK, self._expired)

    @measured("task_send")
    async def send(self, new: NewTask, once: Once | None = None) -> SentTask:
        """Make a task; one that is to come after a task that is not there has failed at once.

        Raises `TaskConflict` where another task has its id.
        """
        task_id = new.options.id or new_id()
        effect = AddTask(task_id, new)
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
                self.room.wake()
            found = await self._found(made_id, new, is_new=is_new)
            if found is not None:
                return SentTask(found, is_new)

    async def _found(self, task_id: str, new: NewTask, *, is_new: bool) -> StoredTask | None:
        """The task that was sent, or was there; None if that is over since and so may be sent."""
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
            raise TaskConflict(f"The id {task_id} is that of a task of another name")
        return found

    @measured("task_get")
    async def find(self, task_id: str) -> StoredTask | None:
        """A task, if there is one."""
        return await read_task(self._store.db, task_id, self._store.clock.now())

    async def get(self, task_id: str) -> StoredTask:
        """The same. Raises `TaskNotFound`."""
        task = await self.find(task_id)
        if task is None:
            raise TaskNotFound(task_id)
        return task

    async def name_of(self, task_id: str) -> str | None:
        """The name of a task, if there is one with this id."""
        sql = self._store.sql.tasks.name_of
        rows = await self._store.adapter.query(sql, (task_id,), point=True, fresh=True)
        return str(rows[0][0]) if rows else None

    @measured("task_list")
    async def newest(self, wanted: WantedTasks) -> list[StoredTask]:
        """Tasks, the newest first."""
        return await list_tasks(self._store.db, wanted, self._store.clock.now())

    async def counts(self, name: str | None = None) -> dict[str, dict[str, int]]:
        """How many tasks have which status, by their names."""
        args = (self._store.clock.now(), name)
        found: dict[str, dict[str, int]] = {}
        for of_name, status, number in await self._store.adapter.query(
            self._store.sql.tasks.counts, args
        ):
            found.setdefault(str(of_name), {})[str(status)] = int(number or 0)
        return dict(sorted(found.items()))

    async def wait(self, task_id: str, wait_ms: int, gone: Gone | None = None) -> StoredTask:
        """A task once it is over, or as it is when the time is. Raises `TaskNotFound`."""
        arrival = self.room.watch([task_id])
        watching = _Watching(gone, arrival.tell)
        ends = monotonic() + wait_ms / 1000
        try:
            while True:
                task = await self.get(task_id)
                left = ends - monotonic()
                if task.is_over or left <= 0 or self.room.has_ended():
                    return task
                await arrival.wait(left)
                if watching.has_gone():
                    return task
        finally:
            watching.stop()
            self.room.forget([task_id], arrival)

    @measured("task_cancel")
    async def cancel(self, task_id: str, once: Once | None = None) -> StoredTask:
        """Cancel a task that is not over; the task as it is then. Raises `TaskNotFound`.

        One that somebody runs keeps its place until its runner stops or its lease ends.
        """
        await self._commit(CancelTask(task_id), once=once)
        self._settled(task_id)
        return await self.get(task_id)

    @measured("task_retry")
    async def retry(self, task_id: str, once: Once | None = None) -> StoredTask:
        """Run a task once more that failed or was cancelled, as if it were new.

        Raises `TaskNotFound`, and `TaskConflict` for any other one, and where one that is not over
        has its name and unique text.
        """
        again, *_ = await self._commit(Again(task_id), once=once)
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
        self.room.wake()
        return task

    @measured("task_delete")
    async def delete(self, task_id: str, once: Once | None = None) -> bool:
        """Remove a task, whatever it is in; whether it was there."""
        over = CancelTask(task_id), LeavePlace(task_id, None)
        *_, removed = await self._commit(*over, ForgetTask(task_id), once=once)
        self._settled(task_id)
        return removed.rowcount > 0

    async def forget_old(self, limit: int) -> int:
        """Remove at most `limit` tasks whose time is over; how many."""
        (removed,) = await self._commit(ForgetOldTasks(limit))
        return removed.rowcount

    @measured("task_lease")
    async def lease(
        self, call: RunnerCall, wait_ms: int = 0, gone: Gone | None = None
    ) -> list[Run]:
        """Give a runner tasks that are ready, or the first ones that are within a time.

        Who is cancelled meanwhile has none of them.
        """
        if not wait_ms:
            return await self._take(call)
        ends = monotonic() + wait_ms / 1000
        # Before it looks: what becomes ready after that calls it.
        caller = self.room.enter(call.names)
        try:
            found = [] if self.room.has_nothing(call.names) else await self._take(call)
            return found or await self._take_later(call, caller, ends, gone)
        finally:
            self.room.leave(caller)

    async def _take_later(
        self, call: RunnerCall, caller: Caller, ends: float, gone: Gone | None
    ) -> list[Run]:
        """The first tasks that become ready until then."""
        watching = _Watching(gone, caller.arrival.tell)
        try:
            while not self.room.has_ended() and (left := ends - monotonic()) > 0:
                is_called = await caller.wait(left)
                # A look where there is nothing is dear: of a thousand idle runners the time of
                # many is over in every second.
                if watching.has_gone() or not (is_called or self.room.may_have_missed()):
                    break
                found = await self._take(call)
                if not found:
                    continue
                await asyncio.sleep(0)  # whoever has just gone is noticed in the next turn
                if not watching.has_gone():
                    return found
                await self.give_back(found)
        finally:
            watching.stop()
        return []

    async def _take(self, call: RunnerCall) -> list[Run]:
        """Lease what is ready, the names that have waited longest first.

        It is given back where the caller is cancelled before it has it.
        """
        runs: list[Run] = []
        now_ms = self._store.clock.now()
        try:
            for name, at in (await self.room.ready(call.names)).items():
                if at > now_ms or len(runs) >= call.limit:
                    break
                taken = await self._take_of(name, call._replace(limit=call.limit - len(runs)))
                if not taken:
                    self.room.gave_nothing(name)
                runs += taken
        except asyncio.CancelledError:
            await self.give_back(runs)
            raise
        return runs

    async def _take_of(self, name: str, call: RunnerCall) -> list[Run]:
        lease = Lease(call.limit, call.duration_ms, MARK + name)
        leasing = self._queue.lease_by(lease, BeginTasks(name, call.runner, call.duration_ms))
        try:
            return await self._taken(name, _messages(await asyncio.shield(leasing)))
        except asyncio.CancelledError:
            await self._leave(_messages(await leasing))
            raise

    async def _taken(self, name: str, messages: Sequence[LeasedMessage]) -> list[Run]:
        """What a runner gets of the tasks that were leased."""
        if not messages:
            return []
        token, ends_at = messages[0].lease, messages[0].ends_at_ms
        sql = self._store.sql.tasks.taken
        args = (MARK + name, token, ends_at, LEASE_BYTES)
        tasks = [
            TakenTask(*row)  # type: ignore[arg-type] # as the schema says
            for row in await self._store.adapter.query(sql, args, fresh=True)
        ]
        fitting = {message_id(task.id) for task in tasks}
        for message in messages:
            if message.id in fitting:
                self._queue.given(message)
        await self._leave([message for message in messages if message.id not in fitting])
        return [Run(name, task, token, ends_at) for task in tasks]

    async def _leave(self, messages: Sequence[LeasedMessage]) -> None:
        """Let others have tasks that were leased, and that no runner gets."""
        for message in messages:
            with suppress(TaskLost):
                await self.release(message.id.removeprefix(MARK), message.lease)

    async def still_running(self, runs: Sequence[Run]) -> list[Run]:
        """Those of the tasks that their runner still has."""
        if not runs:
            return []
        ids = [run.task.id for run in runs]
        found = await read_several(self._store.db, ids, self._store.clock.now())
        held = {(task.id, task.lease) for task in found if task.status == "running"}
        return [run for run in runs if (run.task.id, run.token) in held]

    async def until_one_ends(self, runs: Sequence[Run], wait_ms: int) -> None:
        """Wait until something becomes of one of the tasks, but not longer than that."""
        ids = [run.task.id for run in runs]
        arrival = self.room.watch(ids)
        try:
            if len(await self.still_running(runs)) == len(runs) and not self.room.has_ended():
                await arrival.wait(wait_ms / 1000)
        finally:
            self.room.forget(ids, arrival)

    async def give_back(self, runs: Sequence[Run]) -> None:
        """Let others have tasks that nobody began with."""
        await self._release_all([(run.task.id, run.token) for run in runs])

    def give_back_soon(self, leased: Sequence[tuple[str, str]]) -> None:
        """The same in the background, by their ids and tokens."""
        giving = asyncio.create_task(self._given_back(leased))
        self._giving.add(giving)
        giving.add_done_callback(self._giving.discard)

    async def _release_all(self, leased: Sequence[tuple[str, str]]) -> None:
        for task_id, token in leased:
            with suppress(TaskLost):
                await self.release(task_id, token)

    async def _given_back(self, leased: Sequence[tuple[str, str]]) -> None:
        try:
            await self._release_all(leased)
        except (DatabaseError, KeyValError) as error:
            # Their leases will run out: late, but nothing is lost.
            self._store.logger.warning("Tasks could not be given back: %s", error)

    async def close(self) -> None:
        """Wait until all that nobody wants is given back."""
        while self._giving:
            await asyncio.wait(self._giving)

    @measured("task_release")
    async def release(self, task_id: str, token: str, once: Once | None = None) -> None:
        """Take back that a task was leased: the attempt does not count. Raises `TaskLost`.

        One that is cancelled gives up its place.
        """
        leave, undeliver, _ = await self._commit(
            LeavePlace(task_id, token),
            Undeliver(message_id(task_id), token),
            Stop(task_id, token),
            once=once,
        )
        if not (leave.rowcount or undeliver.rowcount):
            raise TaskLost(task_id)
        self._settled(task_id)

    @measured("task_heartbeat")
    async def heartbeat(
        self, task_id: str, token: str, duration_ms: int | None = None, progress: str | None = None
    ) -> Heard:
        """Prolong a lease, and keep what its runner says of the task.

        It ends then as long from now as it was to last at first, unless it is said. Raises
        `TaskLost`.
        """
        task = await read_task(self._store.db, task_id, self._store.clock.now())
        if task is None or task.last_lease != token:
            raise TaskLost(task_id)
        if task.status == "cancelled":
            return Heard(cancelled=True)
        if task.lease != token:
            raise TaskLost(task_id)
        duration = duration_ms or task.lease_ms or 0
        effects: list[Effect] = [Extend(message_id(task_id), token, duration, is_usual=False)]
        if progress is not None:
            effects.append(Progress(task_id, token, progress))
        extended, *_ = await self._commit(*effects)
        if not extended.rowcount:
            # It ended in this moment, as the next look says.
            return await self.heartbeat(task_id, token, duration_ms, progress)
        self._queue.extended(message_id(task_id))
        return Heard(cancelled=False, ends_at=self._store.clock.now() + duration)

    @measured("task_complete")
    async def complete(
        self, task_id: str, token: str, result: str = "null", once: Once | None = None
    ) -> Heard:
        """A task is done. The same again is as good as once.

        Raises `TaskLost` where it is not run under this token any more.
        """
        finish = Finish(task_id, token, "completed", result)
        (finished,) = await self._commit(finish, once=once, size=len(result))
        if not finished.rowcount:
            return await self._ended(task_id, token, "completed")
        self._settled(task_id)
        return Heard(cancelled=False)

    @measured("task_complete")
    async def complete_many(
        self, done: Sequence[CompletedTask], once: Once | None = None
    ) -> list[Heard]:
        """Several tasks are done, all in one commit; the same again is as good as once.

        What their runner is told of each, in their order. One that is lost stops none of the
        others.
        """
        completed = Heard(cancelled=False)
        if not done:
            return []
        size = sum(len(one.result) for one in done)
        (finished,) = await self._commit(CompleteTasks(done), once=once, size=size)
        if finished.rowcount == len(done):
            heard = [completed] * len(done)
        else:
            heard = [await self._heard(one) for one in done]
        for one, told in zip(done, heard, strict=True):
            if not told.lost:
                self._queue.settled(message_id(one.id))
                self.room.tell(one.id)
        self.room.wake()
        return heard

    async def _heard(self, done: CompletedTask) -> Heard:
        """What a runner is told of one that may not have been completed."""
        try:
            return await self._ended(done.id, done.lease, "completed")
        except TaskLost:
            return Heard(cancelled=False, lost=True)

    @measured("task_fail")
    async def fail(
        self,
        task_id: str,
        token: str,
        error: str,
        *,
        retry: bool = True,
        once: Once | None = None,
    ) -> Heard:
        """An attempt was in vain: there is another one after a pause, or the task has failed.

        Without `retry` it was the last one. Raises `TaskLost`.
        """
        if once is not None and await self._store.replays.find(once) is not None:
            return Heard(cancelled=False)  # before a look at the task, which is another one by now
        task = await read_task(self._store.db, task_id, self._store.clock.now())
        if task is None or task.lease != token or task.status == "cancelled":
            return await self._ended(task_id, token, "failed", error)
        effects: list[Effect] = [Finish(task_id, token, "failed", None, error)]
        if retry and task.attempts < max(1, task.max_retries):
            chance = random.random()  # noqa: S311 - no secret
            pause = pause_behind(task.attempts, task.pauses_ms, chance)
            effects = [Stop(task_id, token, error), Retry(message_id(task_id), pause)]
        try:
            guard = is_leased(self._store.sql, task_id, token)
            first, *_ = await self._commit(*effects, once=once, guards=[guard])
        except GuardFailed:
            return await self._ended(task_id, token, "failed", error)
        if not first.rowcount:
            return await self._ended(task_id, token, "failed", error)
        self._settled(task_id)
        return Heard(cancelled=False)

    async def _ended(
        self, task_id: str, token: str, status: str, error: str | None = None
    ) -> Heard:
        """What a runner is told that does not have its task any more. Raises `TaskLost`."""
        task = await read_task(self._store.db, task_id, self._store.clock.now())
        if task is not None and task.last_lease == token:
            if task.status == "cancelled":
                await self._commit(LeavePlace(task_id, token))
                self._settled(task_id)
                return Heard(cancelled=True)
            was_told = task.status == status or (status == "failed" and task.status == "pending")
            if was_told and (error is None or task.last_error == error):
                return Heard(cancelled=False)  # its first answer was lost
        raise TaskLost(task_id)

    def _expired(self, message: str) -> Sequence[Effect]:
        """What becomes of a task whose last lease has ended without a word."""
        task_id = message.removeprefix(MARK)
        return [Finish(task_id, None, "failed", None, LEASE_EXPIRED), LeavePlace(task_id, None)]

    def _settled(self, task_id: str) -> None:
        self._queue.settled(message_id(task_id))
        self.room.tell(task_id)
        self.room.wake()

    async def _commit(
        self,
        *effects: Effect,
        once: Once | None = None,
        guards: Sequence[Guard] = (),
        size: int = 0,
    ) -> Sequence[ResultSet]:
        return await self._store.write(of_effects(effects, guards=guards, size=size), once)


class _Watching:
    """Tells a call that nobody wants its answer any more."""

    def __init__(self, gone: Gone | None, tell: Callable[[], None]) -> None:
        self._has_gone = False
        self._task = None if gone is None else asyncio.create_task(self._watch(gone, tell))

    async def _watch(self, gone: Gone, tell: Callable[[], None]) -> None:
        await gone()
        self._has_gone = True
        tell()

    def has_gone(self) -> bool:
        """Whether that is so."""
        return self._has_gone

    def stop(self) -> None:
        """It is answered."""
        if self._task is not None:
            self._task.cancel()


def _messages(rows: Sequence[tuple[Value, ...]]) -> list[LeasedMessage]:
    """Those of the tasks that were leased, in their order."""
    return [LeasedMessage(*row[2:]) for row in sorted(rows)]  # type: ignore[arg-type] # as the schema says


def _recall_sent(kept: Kept) -> tuple[str, bool]:
    return str(kept.told), bool(kept.counts[0])
