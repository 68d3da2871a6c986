"""What a write does, and the statements that do it.

An effect is a value that knows its statements. Those of the entries log first: the row count of
the log says how many entries the effect concerned, and its last row where the changes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import tail_of
from buntime_plugin_keyval.storage import statements as texts
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.sqlite.values import ADD_LONG_VALUE, long_size
from buntime_plugin_keyval.storage.ranges import KeyRange, single
from buntime_plugin_keyval.storage.selection import EVERYTHING, RowCondition


class Effect(Protocol):
    """One thing that a commit does; the result of its first statement is its result."""

    def statements(
        self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool
    ) -> Sequence[Statement]:
        """What has the effect, given the stamp and the time of the commit.

        Unless the stamp is firm, the commit may get another one: see `versionstamps.py`.
        """
        ...


class Put(NamedTuple):
    """Store an entry under a key, replacing value, expiry and metadata."""

    key: bytes
    key_json: str
    value: str
    expires_at: int | None = None
    metadata: str | None = None
    is_anew: bool = False
    """Whether the same commit deleted the key before."""
    is_stamped: bool = False
    """Whether the key holds the versionstamp of the commit."""

    def statements(
        self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool
    ) -> Sequence[Statement]:
        """See `Effect`; where the stamp is not firm, the first result has it as its only row."""
        key, key_json, value, expires_at, metadata, is_anew, is_stamped = self
        log, put, put_anew, put_long, put_long_anew = (
            texts.PUT if is_firm else texts.PUT_STAMPED_LATE if is_stamped else texts.PUT_LATE
        )
        now_ms, wall_ms = at
        size = long_size(value)
        entry = (
            key,
            key_json,
            size or value,
            versionstamp,
            expires_at,
            metadata,
            wall_ms,
        )  # ?1 to ?7
        logged = Statement(log, (key, versionstamp, now_ms))
        if size:
            return (
                logged,
                Statement(ADD_LONG_VALUE, (value,)),
                Statement(put_long_anew, entry)
                if is_anew
                else Statement(put_long, (*entry, now_ms)),
            )
        return (
            logged,
            Statement(put_anew, entry) if is_anew else Statement(put, (*entry, now_ms)),
        )


class Remove(NamedTuple):
    """Remove the live entries of a range that meet a condition."""

    keys: KeyRange
    condition: RowCondition = EVERYTHING

    def statements(
        self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool
    ) -> Sequence[Statement]:
        """See `Effect`; the result for one key has a row as that of `Put`, if it is removed."""
        now_ms = at.now_ms
        where, args = self.condition.sql, self.condition.args
        selected = (*self.keys, now_ms, *args)
        if is_firm:
            log = texts.LOG_REMOVE
        elif self.keys == single(self.keys.start):
            log = texts.LOG_REMOVE_ONE_LATE
        else:
            log = texts.LOG_REMOVE_LATE
        return (
            Statement(log.format(where=where), (versionstamp, now_ms, *selected)),
            Statement(texts.REMOVE.format(where=where), selected),
        )


class Expire(NamedTuple):
    """Remove at most `limit` entries that have expired."""

    limit: int

    def statements(
        self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool
    ) -> Sequence[Statement]:
        """See `Effect`."""
        now_ms = at.now_ms
        log = texts.LOG_EXPIRED if is_firm else texts.LOG_EXPIRED_LATE
        return (
            Statement(log, (versionstamp, now_ms, now_ms, self.limit)),
            Statement(texts.REMOVE_EXPIRED, (now_ms, self.limit)),
        )


class NoteStamp(NamedTuple):
    """Let later commits have greater stamps than this one, though it may log no change.

    Comes last, in commits whose stamp is told.
    """

    def statements(
        self, sql: Dialect, versionstamp: str, at: Moment, is_firm: bool
    ) -> Sequence[Statement]:
        """See `Effect`; where the stamp is not firm, the result has it as its only row."""
        log = sql.log
        return (Statement(log.note_stamp if is_firm else log.note_stamp_late, (versionstamp,)),)


EntryEffect = Put | Remove | Expire
"""Effects whose first statement writes the change log."""

StampedEffect = EntryEffect | NoteStamp
"""Effects whose first statement writes the stamp of the commit."""


def unchanged(key: bytes, versionstamp: str | None, now_ms: int) -> Guard:
    """Holds while the live versionstamp of the key is this one; None means no live entry."""
    return Guard(texts.UNCHANGED, (key, now_ms, versionstamp))


def unchanged_since(key: bytes, versionstamp: str, now_ms: int) -> Guard:
    """Holds while the key is as the commit left it that was to have this versionstamp."""
    return Guard(texts.UNCHANGED_SINCE, (key, now_ms, tail_of(versionstamp)))


def stamp_of_commit(sql: Dialect, versionstamp: str) -> str:
    """What recalls the rows that tell of a stamp, for a `Batch`: of the one that was made of it."""
    return sql.log.stamp_of_commit(tail_of(versionstamp))
