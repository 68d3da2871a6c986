"""Schedules of one store: managing them, and starting those that are due.

Every host looks, and one of them starts the task: in one commit that makes the task and advances
the next time, guarded by that time. So each time is met once, however many hosts there are and
whichever of them dies.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec
from buntime_keyval.wire import InvalidInput

from buntime_plugin_keyval.engine.additions import Addition
from buntime_plugin_keyval.engine.decisions import Decision, Write
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.schedules.timing import (
    Timing,
    due_times,
    last_due,
    next_if_set_back,
)
from buntime_plugin_keyval.model.errors import ScheduleNotFound
from buntime_plugin_keyval.model.messages import new_id
from buntime_plugin_keyval.storage.effects import Effect
from buntime_plugin_keyval.storage.schedule_effects import (
    PutSchedule,
    Rearm,
    RemoveSchedule,
    exists,
    is_next,
)
from buntime_plugin_keyval.storage.schedules import (
    StoredSchedule,
    list_schedules,
    read_due,
    read_earliest,
    read_schedule,
)

StoredSchedules: TypeAlias = list[StoredSchedule]
Times: TypeAlias = list[int]
ReadTask: TypeAlias = Callable[[Mapping[str, Any]], Addition]
"""Reads the members of a task into the addition that makes it. Raises `InvalidInput`."""

GRACE_MS = 60_000
"""A time counts as missed if nothing was started for this long after it."""
LOOK_SECONDS = 5.0
"""Longest pause between two looks for schedules of other hosts and for clocks that were set."""
TOGETHER = 100
"""The most schedules that a step looks at, and the most missed times that a commit makes up for."""
SET_BACK_MS = 30_000
"""If the clock was set back by more, next times that it found before are checked."""


class WantedSchedule(NamedTuple):
    name: str
    timing: Timing
    task: str
    """The members of its tasks as JSON, checked."""
    missed: str
    """What to do about times at which no host ran: `skip`, `once` or `all`."""
    paused: bool


class ScheduleDesk:
    """The schedules of one store."""

    def __init__(self, store: Store, read_task: ReadTask) -> None:
        self._store = store
        self.recorder = store.recorder
        self._read_task = read_task
        self._logger = store.logger
        self._ahead_ms: int | None = None
        """The most that the clock was ahead of the store's time since next times were last compared
        with it; None before the first time."""
        self.loop = Loop(
            self._step, "schedules", logger=store.logger, complaint="Schedules are not started: %s"
        )

    @measured("schedule_put")
    async def put(self, wanted: WantedSchedule, once: Once | None = None) -> StoredSchedule:
        """Make or change a schedule; the schedule as it is then."""
        now_ms = self._store.clock.wall()
        next_at = None if wanted.paused else wanted.timing.next(now_ms, now_ms)
        timing = msgspec.json.encode(wanted.timing).decode()
        effect = PutSchedule(
            wanted.name, timing, wanted.task, wanted.missed, wanted.paused, next_at
        )
        await self._commit(effect, once=once)
        self.loop.wake()
        return await self.get(wanted.name)

    @measured("schedule_get")
    async def get(self, name: str) -> StoredSchedule:
        """A schedule. Raises `ScheduleNotFound`."""
        found = await read_schedule(self._store.db, name)
        if found is None:
            raise ScheduleNotFound(name)
        return found

    @measured("schedule_list")
    async def list(self, after: str, limit: int) -> StoredSchedules:
        """The schedules after a name, in order of name."""
        return await list_schedules(self._store.db, after, limit)

    @measured("schedule_remove")
    async def remove(self, name: str, once: Once | None = None) -> bool:
        """Remove a schedule; whether there was one. Tasks that it started stay."""
        return await self._commit(RemoveSchedule(name), once=once) > 0

    @measured("schedule_run")
    async def run(self, name: str, once: Once | None = None) -> str:
        """Start the task of a schedule now, in addition to its times; the id of the task.

        Raises `ScheduleNotFound`.
        """
        found = await self.get(name)
        task_id = new_id()
        task = self._task_of(found, task_id)
        decision = Decision[str | None]([task.effect], lambda *_: task_id, told=task_id)
        write = Write(
            lambda _: decision,
            size=task.size,
            guards=[exists(self._store.sql, name)],
            recall=lambda kept: str(kept.told),
            may_refuse=True,
        )
        made = await self._store.write(write, once)
        if made is None:
            raise ScheduleNotFound(name)
        task.committed()
        return made

    def next_times(self, found: StoredSchedule, limit: int) -> Times:
        """The next times at which a schedule is due."""
        if found.next_at is None:
            return []
        timing = timing_of(found)
        times = [found.next_at]
        for at_ms in timing.following(found.next_at, found.next_at):
            if len(times) >= limit:
                break
            times.append(at_ms)
        return times

    async def _step(self) -> float | None:
        """Start the schedules that are due; seconds until the next step."""
        await self._follow_clock()
        now_ms = self._store.clock.wall()
        due = await read_due(self._store.db, now_ms, TOGETHER)
        if due:
            # At the same time, so that they share a group commit.
            await asyncio.gather(
                *(self._fire(it, it.next_at, now_ms) for it in due if it.next_at is not None)
            )
            return 0
        earliest = await read_earliest(self._store.db)
        if earliest is None:
            return LOOK_SECONDS
        left_ms = earliest - self._store.clock.wall()
        return min(LOOK_SECONDS, max(0.001, left_ms / 1000))

    async def _follow_clock(self) -> None:
        """Correct next times that were found by a wrong clock and are too far ahead.

        Done when the host starts, since its clock may have been set while it was down, and when the
        clock is set back.
        """
        ahead_ms = self._store.clock.wall() - self._store.clock.now()
        if self._ahead_ms is not None and ahead_ms > self._ahead_ms - SET_BACK_MS:
            self._ahead_ms = max(self._ahead_ms, ahead_ms)
            return
        name = ""
        while found := await list_schedules(self._store.db, name, TOGETHER):
            await asyncio.gather(*map(self._rearm_if_set_back, found))
            name = found[-1].name
        self._ahead_ms = ahead_ms

    async def _rearm_if_set_back(self, found: StoredSchedule) -> None:
        if found.next_at is None:
            return
        now_ms = self._store.clock.wall()
        next_at = next_if_set_back(timing_of(found), found.next_at, found.last_at, now_ms)
        if next_at is None:
            return
        decision = Decision[bool | None]([Rearm(found.name, next_at)], lambda *_: True)
        guard = is_next(self._store.sql, found.name, found.next_at)
        if await self._store.write(Write(lambda _: decision, guards=[guard], may_refuse=True)):
            self._logger.info("The clock was set back: the schedule %s follows it", found.name)

    async def _fire(self, found: StoredSchedule, next_ms: int, now_ms: int) -> None:
        """Start a schedule that is due, unless another host does."""
        timing = timing_of(found)
        times = times_to_meet(timing, found.missed, next_ms, now_ms)
        ids = [new_id() for _ in times]
        try:
            tasks = [self._task_of(found, task_id) for task_id in ids]
        except InvalidInput as error:  # an older version accepted the task
            self._logger.warning("The schedule %s cannot start its task: %s", found.name, error)
            times, ids, tasks = [], [], []
        behind_ms = times[-1] if times and found.missed == "all" else now_ms
        advance = Rearm(
            found.name,
            timing.next(behind_ms, next_ms),
            times[-1] if times else None,
            ids[-1] if ids else None,
            len(times),
        )
        effects: list[Effect] = [advance, *(task.effect for task in tasks)]
        decision = Decision[bool | None](effects, lambda *_: True)
        write = Write(
            lambda _: decision,
            size=sum(task.size for task in tasks),
            guards=[is_next(self._store.sql, found.name, next_ms)],
            may_refuse=True,
        )
        if await self._store.write(write):
            for task in tasks:
                task.committed()

    def _task_of(self, found: StoredSchedule, task_id: str) -> Addition:
        members: dict[str, Any] = msgspec.json.decode(found.task)
        return self._read_task({**members, "id": task_id})

    async def _commit(self, effect: Effect, *, once: Once | None) -> int:
        decision = Decision[int]([effect], lambda results, _: results[0].rowcount)
        write = Write(
            lambda _: decision,
            recall=lambda kept: kept.counts[0] if kept.counts else 0,
            has_counts=True,
        )
        return await self._store.write(write, once)


def timing_of(found: StoredSchedule) -> Timing:
    return msgspec.json.decode(found.timing, type=Timing)


def times_to_meet(timing: Timing, missed: str, next_ms: int, now_ms: int) -> list[int]:
    """The times for which a schedule that was due at `next_ms` starts a task now.

    For times that were missed because no host ran, `skip` starts none, `once` starts one task for
    all of them, and `all` one for each, at most `TOGETHER` at a time.
    """
    if missed == "all":
        return due_times(timing, next_ms, now_ms, TOGETHER)
    last_ms = last_due(timing, next_ms, now_ms, GRACE_MS)
    if last_ms is None and missed == "once":
        last_ms = next_ms
    return [] if last_ms is None else [last_ms]
