"""The schedules of one store as they run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.members import check_members

from buntime_plugin_keyval.engine.additions import Addition
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.features.feature import Ground, Part
from buntime_plugin_keyval.features.schedules.schedules import (
    ScheduleDesk,
    WantedSchedule,
    timing_of,
)
from buntime_plugin_keyval.features.schedules.timing import Timing
from buntime_plugin_keyval.storage.schedules import StoredSchedule

SHOWN_TIMES = 5
MOST_TASK_BYTES = 64 * 1024
MISSED = ("skip", "once", "all")
SAID_BY_SCHEDULE = ("id", "delay", "scheduledFor", "type")
"""Members of a new task that the schedule sets by itself."""
TASK_MEMBERS = (
    *("name", "payload", "maxRetries", "backoffSchedule", "timeout", "priority", "unique"),
    *("sequence", "keepResult", "parent", "after"),
)
"""All other members of a new task."""


class GivenSchedule(NamedTuple):
    """A schedule as callers give it, each member checked by itself."""

    name: str
    task: Mapping[str, Any]
    cron: str | None
    every: int | None
    timezone: str | None
    missed: str
    paused: bool


class SchedulePart(Part):
    def __init__(self, ground: Ground) -> None:
        self.store = ground.store
        self._parts = ground.parts
        self.schedules = ScheduleDesk(ground.store, self._read_task)

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"schedules": self.schedules.loop}

    def wanted(self, given: GivenSchedule) -> tuple[WantedSchedule, Addition]:
        """The schedule to make, and one of its tasks. Raises `InvalidInput`."""
        if (given.cron is None) == (given.every is None):
            raise InvalidInput('either cron or every is required: "*/5 * * * *", or "10m"')
        if given.every is not None and given.timezone is not None:
            raise InvalidInput("timezone is for cron: a pause is the same everywhere")
        timing = Timing(given.cron, given.every, given.timezone or "UTC")
        task = self._read_task(given.task)
        text = msgspec.json.encode(given.task)
        if len(text) > MOST_TASK_BYTES:
            raise InvalidInput(f"task too large: {len(text)} bytes (max {MOST_TASK_BYTES})")
        wanted = WantedSchedule(given.name, timing, text.decode(), given.missed, given.paused)
        return wanted, task

    def told(self, found: StoredSchedule) -> dict[str, Any]:
        """A schedule as callers see it, ready for JSON."""
        timing = timing_of(found)
        due = {"every": timing.every} if timing.cron is None else {"cron": timing.cron}
        return {
            "name": found.name,
            **due,
            "timezone": timing.timezone,
            "task": msgspec.Raw(found.task.encode()),
            "missed": found.missed,
            "paused": bool(found.paused),
            "next": self.schedules.next_times(found, SHOWN_TIMES),
            "lastAt": found.last_at,
            "lastTask": found.last_task,
            "fires": found.fires,
            "createdAt": found.created_at,
            "updatedAt": found.updated_at,
        }

    def _read_task(self, members: Mapping[str, Any]) -> Addition:
        """The addition that makes a task, from its members as a mutation. Raises `InvalidInput`."""
        parts: Iterable[Part] = self._parts.values()
        (read,) = [part.mutations["task"] for part in parts if part and "task" in part.mutations]
        return read({"type": "task", **members}, "task", self.store.clock.wall())


def checked_task(task: object) -> dict[str, Any]:
    """Check the members of a schedule's task. Raises `InvalidInput` for those it sets itself."""
    if not isinstance(task, dict):
        raise InvalidInput(
            f'task must be an object such as {{"name": "send-report"}}, received {describe(task)}'
        )
    for name in SAID_BY_SCHEDULE:
        if name in task:
            raise InvalidInput(f"task.{name} is not allowed: the schedule sets it")
    check_members(task, TASK_MEMBERS, "task")
    return task
