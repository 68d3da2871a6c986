"""Effects: what a write does, and the statements for it.

An effect is a value that knows its statements. Effects on entries write the change log first: the
row count of that is the number of entries concerned, and the last row tells where the changes are.
"""

from __future__ import annotations

from typing import Protocol

import msgspec
from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import tail_of
from buntime_plugin_keyval.storage.dialects.dialect import Dialect, Statements
from buntime_plugin_keyval.storage.dialects.writes import NewEntry, new
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import EVERYTHING, RowCondition


class Effect(Protocol):
    """One thing that a commit does. The result of its first statement is its result."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """The statements for the effect, given the stamp and the time of the commit.

        Unless the stamp is firm, the commit may get another one: see `versionstamps.py`.
        """
        ...


class Put(NewEntry, frozen=True, gc=False):
    """Store an entry under a key, replacing value, expiry, metadata and type."""

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`; unless the stamp is firm, it is the only row of the first result."""
        return sql.writes.put(self, versionstamp, at, is_firm)


class Remove(msgspec.Struct, frozen=True, gc=False):
    """Remove the live entries in a range that meet a condition."""

    keys: KeyRange
    condition: RowCondition = EVERYTHING

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`; if one key is removed, the result has a row like that of `Put`."""
        return sql.writes.remove(self.keys, self.condition, versionstamp, at, is_firm)


class Expire(msgspec.Struct, frozen=True, gc=False):
    """Remove at most `limit` entries that have expired."""

    limit: int

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        return sql.writes.expire(self.limit, versionstamp, at, is_firm)


class NoteStamp(msgspec.Struct, frozen=True, gc=False):
    """Make sure that later commits have greater stamps than this one, even if it logs no change.

    The last effect of commits whose stamp is returned.
    """

    def statements(self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool) -> Statements:
        """See `Effect`; unless the stamp is firm, it is the only row of the result."""
        log = sql.log
        text = log.note_stamp if is_firm else log.note_stamp_late
        return (new(Statement, (text, (versionstamp,))),)


EntryEffect = Put | Remove | Expire
"""Effects whose first statement writes the change log."""

StampedEffect = EntryEffect | NoteStamp
"""Effects whose first statement writes the stamp of the commit."""


def unchanged(sql: Dialect, key: bytes, versionstamp: str | None, now_ms: int) -> Guard:
    """Holds while the key has a live entry with this versionstamp; none for None."""
    return new(Guard, (sql.writes.unchanged, (key, now_ms, versionstamp)))


def unchanged_since(sql: Dialect, key: bytes, versionstamp: str, now_ms: int) -> Guard:
    """Holds while the key is as it was left by the commit that was made with this versionstamp."""
    return new(Guard, (sql.writes.unchanged_since, (key, now_ms, tail_of(versionstamp))))


def stamp_of_commit(sql: Dialect, versionstamp: str) -> str:
    """SQL for a `Batch` that recalls the rows with the final stamp of a commit, given its first."""
    return sql.log.stamp_of_commit(tail_of(versionstamp))
