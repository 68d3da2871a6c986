"""What a write does, and the statements that do it.

An effect is a value that knows its statements. Those of the entries log first: the row count of
the log says how many entries the effect concerned, and its last row where the changes are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from buntime_database import Guard, Statement

from buntime_plugin_keyval.storage import statements as sql
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.selection import EVERYTHING, Condition


class Effect(Protocol):
    """One thing that a commit does; the result of its first statement is its result."""

    def statements(self, versionstamp: str, now_ms: int) -> Sequence[Statement]:
        """What has the effect, given the stamp and the time of the commit."""
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

    def statements(self, versionstamp: str, now_ms: int) -> Sequence[Statement]:
        """See `Effect`."""
        key, key_json, value, expires_at, metadata, is_anew = self
        entry = (key, key_json, value, versionstamp, expires_at, metadata, now_ms)  # ?1 to ?7
        return (
            Statement(sql.LOG_PUT, (key, versionstamp, now_ms)),
            Statement(sql.PUT_ANEW if is_anew else sql.PUT, entry),
        )


class Remove(NamedTuple):
    """Remove the live entries of a range that meet a condition."""

    keys: KeyRange
    condition: Condition = EVERYTHING

    def statements(self, versionstamp: str, now_ms: int) -> Sequence[Statement]:
        """See `Effect`."""
        where, args = self.condition.sql, self.condition.args
        selected = (*self.keys, now_ms, *args)
        return (
            Statement(sql.LOG_REMOVE.format(where=where), (versionstamp, now_ms, *selected)),
            Statement(sql.REMOVE.format(where=where), selected),
        )


class Expire(NamedTuple):
    """Remove at most `limit` entries that have expired."""

    limit: int

    def statements(self, versionstamp: str, now_ms: int) -> Sequence[Statement]:
        """See `Effect`."""
        return (
            Statement(sql.LOG_EXPIRED, (versionstamp, now_ms, now_ms, self.limit)),
            Statement(sql.REMOVE_EXPIRED, (now_ms, self.limit)),
        )


EntryEffect = Put | Remove | Expire
"""Effects whose first statement writes the change log."""


def unchanged(key: bytes, versionstamp: str | None, now_ms: int) -> Guard:
    """Holds while the live versionstamp of the key is this one; None means no live entry."""
    return Guard(sql.UNCHANGED, (key, now_ms, versionstamp))
