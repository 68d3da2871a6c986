"""Effects on schedules."""

from __future__ import annotations

from typing import NamedTuple

from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements


class PutSchedule(NamedTuple):
    """Make or change a schedule."""

    name: str
    timing: str
    task: str
    missed: str
    paused: bool
    next_at: int | None

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        args = (self.name, self.timing, self.task, self.missed, int(self.paused), self.next_at)
        return (Statement(sql.schedules.put, (*args, at.wall_ms)),)


class Rearm(NamedTuple):
    """Set the next time of a schedule that was due."""

    name: str
    next_at: int | None
    last_at: int | None = None
    last_task: str | None = None
    fires: int = 0

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.schedules.advance, tuple(self)),)


class RemoveSchedule(NamedTuple):
    name: str

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return (Statement(sql.schedules.remove, (self.name,)),)


def is_next(sql: Dialect, name: str, at_ms: int) -> Guard:
    """Holds while the next time of a schedule is this one."""
    return Guard(sql.schedules.is_next, (name, at_ms))


def exists(sql: Dialect, name: str) -> Guard:
    """Holds while a schedule exists."""
    return Guard(sql.schedules.exists, (name,))
