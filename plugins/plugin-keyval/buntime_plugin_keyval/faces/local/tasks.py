"""Tasks for Python callers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_keyval import (
    Duration,
    KvError,
    LeasedTask,
    TaskDone,
    TaskHeard,
    TaskInfo,
    TaskLimits,
    TaskPage,
    shared,
)
from buntime_keyval.shared import AsyncRunner, ErrorHandler, Rate, TaskStatus
from buntime_keyval.wire import canonical_value, decode_value, encode_value
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.limits import DEFAULT_LIMIT
from buntime_keyval.wire.names import checked_name
from buntime_keyval.wire.python_options import milliseconds
from buntime_keyval.wire.stamps import without_stamps
from buntime_keyval.wire.tasks import NewTask

from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.faces.local.part import NOW_TEXT, LocalPart
from buntime_plugin_keyval.features.queue.queues import checked_options
from buntime_plugin_keyval.features.queue.queues import read_place as read_task_place
from buntime_plugin_keyval.features.tasks.part import TaskPart
from buntime_plugin_keyval.features.tasks.runners import Heard, Run, RunnerCall
from buntime_plugin_keyval.model.clock import Clock, wall_of
from buntime_plugin_keyval.model.errors import TaskLost, TaskNotFound
from buntime_plugin_keyval.requests.permissions import TASK_ADMIN, TASK_RUN, TASK_SEND, Permits
from buntime_plugin_keyval.storage.task_effects import CompletedTask
from buntime_plugin_keyval.storage.tasks import StoredTask, WantedTasks

Leased = list[LeasedTask]
Ended = list[TaskHeard]


class LocalTasks:
    """Named work with a payload and a result, which runners on any host carry out."""

    def __init__(self, part: TaskPart, permits: Permits) -> None:
        self._part = part
        self._desk = part.desk
        self._runners = part.runners
        self._clock = part.store.clock
        self._permits = permits

    async def send(
        self,
        name: str,
        payload: Any = None,
        *,
        id: str | None = None,
        delay: Duration | None = None,
        scheduled_for: float | datetime | None = None,
        max_retries: int = 3,
        backoff_schedule: Sequence[Duration] | None = None,
        timeout: Duration = "5m",
        priority: int = 0,
        unique: str | None = None,
        sequence: str | None = None,
        keep_result: Duration = "1d",
        parent: str | None = None,
        after: Sequence[TaskInfo | str] = (),
        idempotency_key: str | None = None,
    ) -> TaskInfo:
        """Make a task, or get the existing one if its `id` or `unique` text is used again."""
        new = shared.new_task(
            name,
            payload,
            id=id,
            delay=delay,
            scheduled_for=scheduled_for,
            max_retries=max_retries,
            backoff_schedule=backoff_schedule,
            timeout=timeout,
            priority=priority,
            unique=unique,
            sequence=sequence,
            keep_result=keep_result,
            parent=parent,
            after=after,
        )
        self._permits.need(TASK_SEND, new.name)
        once = once_of(idempotency_key, "task_send", new)
        return self._told((await self._desk.send(settled_task(new, self._clock), once)).task)

    async def get(self, task: TaskInfo | str) -> TaskInfo | None:
        """A task, by its id, or None."""
        may = await self._may(TASK_SEND, task)
        found = await self._desk.find(shared.task_id(task)) if may else None
        return None if found is None else self._told(found)

    async def wait(self, task: TaskInfo | str, timeout: Duration | None = None) -> TaskInfo:
        """Wait for the end of a task, at most `timeout`; returns the task. Raises `NotFound`."""
        known = await self._known(TASK_SEND, task)
        length = _FOR_EVER_MS if timeout is None else milliseconds("timeout", timeout)
        return self._told(await self._desk.wait(known, length))

    async def list(
        self,
        *,
        status: TaskStatus | None = None,
        name: str | None = None,
        parent: str | None = None,
        limit: int = DEFAULT_LIMIT,
        cursor: str | None = None,
        offset: int = 0,
    ) -> TaskPage:
        """Tasks, the newest first, in pages of `limit`, at most 1000."""
        self._permits.need(TASK_ADMIN, name)
        size = shared.checked_page(limit)
        wanted = WantedTasks(
            status,
            None if name is None else shared.task_name(name),
            None if parent is None else shared.task_id(parent),
            read_task_place(cursor) or None,
            size,
            offset,
        )
        rows = await self._desk.newest(wanted)
        return TaskPage(
            [self._told(row) for row in rows], str(rows[-1].seq) if len(rows) == size else None
        )

    async def stats(self, name: str | None = None) -> dict[str, dict[str, int]]:
        """The number of tasks in each status, by their names."""
        self._permits.need(TASK_ADMIN, name)
        return await self._desk.counts(None if name is None else shared.task_name(name))

    async def cancel(self, task: TaskInfo | str, *, idempotency_key: str | None = None) -> TaskInfo:
        """Cancel a task that is not over; its runner hears of it. Raises `NotFound`."""
        known = await self._known(TASK_ADMIN, task)
        once = once_of(idempotency_key, "task_cancel", known)
        return self._told(await self._desk.cancel(known, once))

    async def retry(self, task: TaskInfo | str, *, idempotency_key: str | None = None) -> TaskInfo:
        """Run a task again that failed or was cancelled. Raises `TaskConflict` for others."""
        known = await self._known(TASK_ADMIN, task)
        once = once_of(idempotency_key, "task_retry", known)
        return self._told(await self._desk.retry(known, once))

    async def delete(self, task: TaskInfo | str, *, idempotency_key: str | None = None) -> bool:
        """Remove a task in any status; returns whether there was one."""
        once = once_of(idempotency_key, "task_delete", shared.task_id(task))
        if not await self._may(TASK_ADMIN, task):
            return False
        return await self._desk.delete(shared.task_id(task), once)

    async def limits(self, name: str) -> TaskLimits:
        """How many tasks with a name may run at a time, and how many may begin in a time."""
        self._permits.need(TASK_ADMIN, shared.task_name(name))
        found = await self._part.limits(name)
        return TaskLimits(found.max_running, found.rate)

    async def set_limits(
        self,
        name: str,
        *,
        max_running: int | None = None,
        rate: Rate | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Replace the limits of tasks with a name, across all hosts; those not given are lifted."""
        self._permits.need(TASK_ADMIN, shared.task_name(name))
        wanted = checked_options(shared.wanted_options(None, None, max_running, rate))
        once = once_of(idempotency_key, "task_limits", name, wanted)
        await self._part.set_limits(name, wanted, once)

    async def lease(
        self,
        runner: str,
        names: Sequence[str] | None = None,
        *,
        limit: int = 1,
        duration: Duration = "30s",
        wait: Duration | None = None,
    ) -> Leased:
        """Lease tasks with these names, or any; for runners of your own."""
        chosen = None if names is None else frozenset(shared.task_name(name) for name in names)
        for name in [None] if chosen is None else sorted(chosen):
            self._permits.need(TASK_RUN, name)
        call = RunnerCall(
            checked_name("runner", runner),
            chosen,
            shared.checked_task_count(limit),
            shared.task_lease_ms(duration),
        )
        runs = await self._runners.lease(call, shared.task_wait_ms(wait))
        return [self._leased(run) for run in runs]

    async def heartbeat(
        self, task: str, token: str, *, duration: Duration | None = None, progress: Any = None
    ) -> TaskHeard:
        """Prolong a lease by its first length, or `duration`, from now on; may report progress."""
        known = await self._known(TASK_RUN, task, TaskLost)
        length = None if duration is None else shared.task_lease_ms(duration)
        told = None if progress is None else told_text(progress, self._clock.wall())
        return self._heard(
            await self._runners.heartbeat(known, shared.checked_task_token(token), length, told)
        )

    async def complete(self, task: str, token: str, result: Any = None) -> TaskHeard:
        """Complete a leased task. Raises `TaskLost`."""
        known = await self._known(TASK_RUN, task, TaskLost)
        told = told_text(result, self._clock.wall())
        return self._heard(
            await self._runners.complete(known, shared.checked_task_token(token), told)
        )

    async def complete_many(self, done: Sequence[TaskDone]) -> Ended:
        """Complete several leased tasks, at most 1000, in one commit; the answer for each."""
        wall_ms = self._clock.wall()
        told = [
            CompletedTask(
                shared.task_id(task), shared.checked_task_token(token), told_text(result, wall_ms)
            )
            for task, token, result in shared.checked_done_tasks(done)
        ]
        shared.refuse_lost()
        heard = await self._part.complete_many(self._permits.principal, told)
        return [TaskHeard(it.cancelled, lost=it.lost) for it in heard]

    async def fail(self, task: str, token: str, error: str, *, retry: bool = True) -> TaskHeard:
        """Report a failed attempt; without `retry` it was the last one. Raises `TaskLost`."""
        known = await self._known(TASK_RUN, task, TaskLost)
        token, said = shared.checked_task_token(token), checked_error("error", error, as_written)
        return self._heard(await self._runners.fail(known, token, said, retry=retry))

    async def release(self, task: str, token: str) -> None:
        """Give back a task that was not begun: no attempt is counted. Raises `TaskLost`."""
        known = await self._known(TASK_RUN, task, TaskLost)
        await self._runners.release(known, shared.checked_task_token(token))

    async def _known(
        self, scope: str, task: TaskInfo | str, absent: Callable[[str], Exception] = TaskNotFound
    ) -> str:
        """The id of a task for which the caller has the scope; otherwise it counts as absent."""
        if not await self._may(scope, task):
            raise absent(shared.task_id(task))
        return shared.task_id(task)

    async def _may(self, scope: str, task: TaskInfo | str) -> bool:
        shared.refuse_lost()
        return await self._part.may(self._permits.principal, scope, shared.task_id(task))

    def _told(self, task: StoredTask) -> TaskInfo:
        is_running = task.status == "running"
        pauses = task.pauses_ms
        return TaskInfo(
            task.id,
            task.name,
            task.status,
            decode_value(task.payload),
            task.attempts,
            task.max_retries,
            None if pauses is None else [*pauses],
            task.timeout_ms,
            task.priority,
            task.unique,
            task.sequence,
            task.parent,
            [] if task.earlier is None else msgspec.json.decode(task.earlier),
            task.keep_ms,
            task.created_at,
            wall_of(self._clock, task.ready_at),
            task.started_at,
            task.completed_at,
            task.last_error,
            None if task.result is None else decode_value(task.result),
            None if task.progress is None else decode_value(task.progress),
            task.runner if is_running else None,
            wall_of(self._clock, task.visible_at or 0) if is_running else None,
        )

    def _leased(self, run: Run) -> LeasedTask:
        task = run.task
        return LeasedTask(
            task.id,
            run.name,
            run.token,
            decode_value(task.payload),
            task.attempts,
            task.max_retries,
            task.timeout_ms,
            wall_of(self._clock, run.ends_at),
        )

    def _heard(self, heard: Heard) -> TaskHeard:
        if heard.ends_at is None:
            return TaskHeard(heard.cancelled)
        return TaskHeard(heard.cancelled, wall_of(self._clock, heard.ends_at))


_FOR_EVER_MS = 2**52


class LocalRunning(LocalPart):
    """Runners of tasks."""

    tasks: LocalTasks

    def runner(
        self,
        *,
        concurrency: int = 8,
        name: str | None = None,
        lease: Duration = "30s",
        on_error: ErrorHandler | None = None,
    ) -> AsyncRunner:
        """A runner of tasks with your functions: decorate them with `runner.task(name)`."""
        runner = AsyncRunner(
            self.tasks,
            concurrency=concurrency,
            name=name,
            lease=lease,
            on_error=on_error,
            passing=(DatabaseError, KvError),
        )
        self._remember(runner)
        return runner


def told_text(value: Any, now_ms: int) -> str:
    """The text of a value that a runner reports. Raises `InvalidInput`."""
    return without_stamps(encode_value(value, now_ms))


def settled_task(new: NewTask, clock: Clock) -> NewTask:
    """The task with the time in place of `$now`."""
    if NOW_TEXT not in new.payload:
        return new
    return new._replace(payload=canonical_value(new.payload.encode(), clock.wall()))
