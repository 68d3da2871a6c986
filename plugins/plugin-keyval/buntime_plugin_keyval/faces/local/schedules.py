"""Schedules for Python callers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from buntime_keyval import Duration, ScheduleInfo, shared
from buntime_keyval.shared import Missed
from buntime_keyval.wire import InvalidInput, decode_json
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.features.schedules.part import (
    MISSED,
    GivenSchedule,
    SchedulePart,
    checked_task,
)
from buntime_plugin_keyval.features.schedules.timing import (
    checked_cron,
    checked_pause,
    checked_timezone,
)
from buntime_plugin_keyval.model.errors import ScheduleNotFound
from buntime_plugin_keyval.requests.permissions import SCHEDULE, Permits
from buntime_plugin_keyval.storage.schedules import StoredSchedule

Infos = list[ScheduleInfo]


class LocalSchedules:
    """Tasks that are started at set times, once across all hosts of a store."""

    def __init__(self, part: SchedulePart, permits: Permits) -> None:
        self._part = part
        self._permits = permits

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
        """Make or change a schedule; returns it. With unchanged times it keeps its next one."""
        order = shared.schedule_order(name, task, cron, every, timezone, missed, paused=paused)
        if missed not in MISSED:
            raise InvalidInput(f"missed must be skip, once or all, received {as_written(missed)}")
        given = GivenSchedule(
            order.name,
            checked_task(decode_json(bytes(order.task))),
            None if cron is None else checked_cron(cron),
            None if order.every is None else checked_pause(order.every),
            None if timezone is None else checked_timezone(timezone),
            missed,
            paused,
        )
        wanted, made = self._part.wanted(given)
        self._permits.need(SCHEDULE, wanted.name)
        self._permits.need(made.scope, made.resource)
        once = once_of(idempotency_key, "schedule_put", wanted)
        return self._info(await self._part.schedules.put(wanted, once))

    async def get(self, name: str) -> ScheduleInfo | None:
        """A schedule, or None."""
        self._permits.need(SCHEDULE, shared.schedule_name(name))
        try:
            return self._info(await self._part.schedules.get(name))
        except ScheduleNotFound:
            return None

    async def list(self, after: str = "", *, limit: int = DEFAULT_LIMIT) -> Infos:
        """The schedules after a name, in order of name; at most 1000."""
        self._permits.need(SCHEDULE)
        size = shared.checked_page(limit)
        found = await self._part.schedules.list(shared.checked_after(after), size)
        return [self._info(it) for it in found]

    async def run(self, name: str, *, idempotency_key: str | None = None) -> str:
        """Start its task now, in addition to its times; the task's id. Raises `NotFound`."""
        self._permits.need(SCHEDULE, shared.schedule_name(name))
        once = once_of(idempotency_key, "schedule_run", name)
        return await self._part.schedules.run(name, once)

    async def delete(self, name: str, *, idempotency_key: str | None = None) -> bool:
        """Remove a schedule; returns whether there was one. Tasks that it started stay."""
        self._permits.need(SCHEDULE, shared.schedule_name(name))
        once = once_of(idempotency_key, "schedule_delete", name)
        return await self._part.schedules.remove(name, once)

    def _info(self, found: StoredSchedule) -> ScheduleInfo:
        told = msgspec.json.encode(self._part.told(found))
        return shared.schedule_info(msgspec.json.decode(told, type=ScheduleInfo))
