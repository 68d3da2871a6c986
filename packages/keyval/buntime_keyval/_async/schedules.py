"""Schedules: `kv.schedules`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buntime_keyval._async.session import AsyncSession
from buntime_keyval._calls import schedules as calls
from buntime_keyval._calls.schedules import Missed
from buntime_keyval._results import ScheduleInfo
from buntime_keyval.wire import Duration
from buntime_keyval.wire.limits import DEFAULT_LIMIT

Infos = list[ScheduleInfo]


class AsyncSchedules:
    """Tasks that are started at times, once over all hosts of a store."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(
        self,
        name: str,
        task: Mapping[str, Any],
        *,
        cron: str | None = None,
        every: Duration | None = None,
        timezone: str | None = None,
        missed: Missed = "skip",
        paused: bool = False,
        idempotency_key: str | None = None,
    ) -> ScheduleInfo:
        """Make a schedule, or change it; return it. A changed one with the same times keeps its
        next.

        `task` is the template of its tasks, with the names of the wire format: `{"name":
        "send-report", "payload": …, "maxRetries": 5}`. Exactly one of `cron`, five fields read in
        `timezone` (UTC unless it is named), and `every`, a pause, says when. `missed` decides about
        times at which no host ran: `skip` drops them, `once` starts one task for all, `all` one for
        each.
        """
        order = calls.schedule_order(name, task, cron, every, timezone, missed, paused=paused)
        return await self._session.send(calls.put(order), idempotency_key)

    async def get(self, name: str) -> ScheduleInfo | None:
        """A schedule, or None."""
        return await self._session.send(calls.get(name))

    async def list(self, after: str = "", *, limit: int = DEFAULT_LIMIT) -> Infos:
        """The schedules behind a name, in the order of their names; at most 1000."""
        return await self._session.send(calls.list_schedules(after, limit))

    async def run(self, name: str, *, idempotency_key: str | None = None) -> str:
        """Start its task now, apart from its times; returns the task's id. Raises `NotFound`."""
        return await self._session.send(calls.run(name), idempotency_key)

    async def delete(self, name: str, *, idempotency_key: str | None = None) -> bool:
        """Remove a schedule; returns whether there was one. Tasks that it started stay."""
        return await self._session.send(calls.delete(name), idempotency_key)
