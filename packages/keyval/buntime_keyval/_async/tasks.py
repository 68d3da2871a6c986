"""Tasks: `kv.tasks`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from buntime_keyval._async.session import AsyncSession
from buntime_keyval._calls import tasks as calls
from buntime_keyval._calls.queues import Rate
from buntime_keyval._calls.tasks import TaskStatus
from buntime_keyval._results import LeasedTask, TaskDone, TaskHeard, TaskInfo, TaskLimits, TaskPage
from buntime_keyval.wire import Duration
from buntime_keyval.wire.limits import DEFAULT_LIMIT

Leased = list[LeasedTask]
Ended = list[TaskHeard]
Counts = dict[str, dict[str, int]]


class AsyncTasks:
    """Named work with a payload and a result, which runners of any host do."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

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
        """Make a task, or get the existing one if its `id` or `unique` text is used again.

        It runs once `delay` or `scheduled_for` is over and the tasks in `after` are completed, at
        most `max_retries` times, `timeout` long each. After a failed attempt it waits two minutes,
        then four and so on up to an hour, or by `backoff_schedule`. Until a task with a `unique`
        text is over, no other one of that name is made; tasks with the same `sequence` run one at a
        time, in order. A finished task is kept for `keep_result`.
        """
        new = calls.new_task(
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
        return await self._session.send(calls.send(new), idempotency_key)

    async def get(self, task: TaskInfo | str) -> TaskInfo | None:
        """A task, by its id, or None."""
        return await self._session.send(calls.get(task))

    async def wait(self, task: TaskInfo | str, timeout: Duration | None = None) -> TaskInfo:
        """Wait for the end of a task, at most `timeout`; returns the task. Raises `NotFound`."""
        ends = None if timeout is None else time.monotonic() + calls.length(timeout)
        while True:
            longest = self._session.longest_wait
            left = longest if ends is None else min(longest, max(0.0, ends - time.monotonic()))
            found = await self._session.send(calls.wait(task, round(left * 1000)))
            if found.is_over or (ends is not None and time.monotonic() >= ends):
                return found

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
        call = calls.list_tasks(status, name, parent, limit, cursor, offset)
        return await self._session.send(call)

    async def stats(self, name: str | None = None) -> Counts:
        """The number of tasks in each status, by their names."""
        return await self._session.send(calls.stats(name))

    async def cancel(self, task: TaskInfo | str, *, idempotency_key: str | None = None) -> TaskInfo:
        """Cancel a task that is not over; its runner hears of it. Raises `NotFound`."""
        return await self._session.send(calls.cancel(task), idempotency_key)

    async def retry(self, task: TaskInfo | str, *, idempotency_key: str | None = None) -> TaskInfo:
        """Run a task again that failed or was cancelled. Raises `TaskConflict` for others."""
        return await self._session.send(calls.retry(task), idempotency_key)

    async def delete(self, task: TaskInfo | str, *, idempotency_key: str | None = None) -> bool:
        """Remove a task in any status; returns whether there was one."""
        return await self._session.send(calls.delete(task), idempotency_key)

    async def limits(self, name: str) -> TaskLimits:
        """The limits on running tasks of a name, and on tasks begun in a period."""
        return await self._session.send(calls.limits(name))

    async def set_limits(
        self,
        name: str,
        *,
        max_running: int | None = None,
        rate: Rate | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Limit the tasks of a name over all runners of all hosts; limits that are not given are
        removed.

        At most `max_running` run at a time, and `rate`, such as `(100, "1m")`, limits how many
        begin in any period of that length.
        """
        wanted = calls.wanted_limits(max_running, rate)
        await self._session.send(calls.set_limits(name, wanted), idempotency_key)

    async def lease(
        self,
        runner: str,
        names: Sequence[str] | None = None,
        *,
        limit: int = 1,
        duration: Duration = "30s",
        wait: Duration | None = None,
    ) -> Leased:
        """Take tasks to run, of these names or of any; for runners of your own.

        The runner of a task has to report its result within `duration`, or prolong it
        (`heartbeat`); otherwise other runners get it. With `wait`, waits up to a minute for a task.
        """
        length = calls.lease_ms(duration)
        call = calls.lease(runner, names, limit, length, calls.wait_ms(wait))
        return await self._session.send(call)

    async def heartbeat(
        self, task: str, token: str, *, duration: Duration | None = None, progress: Any = None
    ) -> TaskHeard:
        """Prolong the lease of a task by its length, or by `duration`; report its progress.

        Raises `TaskLost` if another runner has it.
        """
        length = None if duration is None else calls.lease_ms(duration)
        return await self._session.send(calls.heartbeat(task, token, length, progress))

    async def complete(self, task: str, token: str, result: Any = None) -> TaskHeard:
        """Complete a leased task. Raises `TaskLost`."""
        return await self._session.send(calls.complete(task, token, result))

    async def complete_many(self, done: Sequence[TaskDone]) -> Ended:
        """Complete several leased tasks, at most 1000, in one commit; return a status for each.

        One that another runner has is `lost`, and stops none of the others.
        """
        return await self._session.send(calls.complete_many(done))

    async def fail(self, task: str, token: str, error: str, *, retry: bool = True) -> TaskHeard:
        """Report a failed attempt; without `retry` it was the last one. Raises `TaskLost`."""
        return await self._session.send(calls.fail(task, token, error, retry=retry))

    async def release(self, task: str, token: str) -> None:
        """Give back a task that was not begun: no attempt is counted. Raises `TaskLost`."""
        await self._session.send(calls.release(task, token))
