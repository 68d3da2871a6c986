"""Schedules: tasks and the times of their starts."""

from __future__ import annotations

from typing import NamedTuple


class SchedulesSql(NamedTuple):
    """Operations on schedules. Times are those of the wall clock."""

    put: str
    """Name, timing, task, what to do with missed times, whether it is paused, next time or NULL,
    now: makes a schedule, or changes it. One with the same timing that is paused no more and no
    less than before keeps its next time."""
    get: str
    """Name: a row with all columns that `ROW` names, or none."""
    listed: str
    """Name, limit: the same rows of the schedules behind it, in the order of their names."""
    due: str
    """Now, limit: the same rows of those whose next time has come, the oldest first."""
    earliest: str
    """The least next time, or NULL."""
    is_next: str
    """Condition of a guard. Name, time: that is the next one of the schedule."""
    exists: str
    """Condition of a guard. Name: there is such a schedule."""
    advance: str
    """Name, next time or NULL, last time or NULL, task or NULL, number: it was due so often at
    last at that time, which started the task; these are kept where they are NULL."""
    remove: str
    """Name."""


ROW = (
    "name, timing, task, missed, paused, next_at, last_at, last_task, fires, created_at, updated_at"
)
