"""Writing entries, and the guards of what writes have seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec
from buntime_database import Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition

new = tuple.__new__
"""Makes statements and guards as their classes do, for half the price: those of each write."""


class NewEntry(msgspec.Struct, frozen=True, gc=False):
    """An entry to be stored."""

    key: bytes
    key_json: str
    value: str
    expires_at: int | None = None
    metadata: str | None = None
    is_anew: bool = False
    """Whether the same commit deleted the key before."""
    is_stamped: bool = False
    """Whether key and its JSON hold the versionstamp, so that a later one goes in there."""
    type: str | None = None


Logging: TypeAlias = Sequence[Statement]
"""Statements of which the first one logs: its result says how many entries are concerned, and
`LogSql.appended` where their changes are. Of one key, it has a row with the versionstamp where that
is not firm."""


class WriteSql(NamedTuple):
    """Operations that write entries; each logs before it does."""

    put: Callable[[NewEntry, str, Moment, bool], Logging]
    """Entry, versionstamp, time, whether the stamp is firm: stores it, as if there had been none
    that has expired. One that lives keeps the time of its creation, and its revision grows by
    one."""
    remove: Callable[[KeyRange, RowCondition, str, Moment, bool], Logging]
    """Range, condition, and so on: removes what lives there and meets the condition."""
    expire: Callable[[int, str, Moment, bool], Logging]
    """Number, and so on: removes so many that have expired, the first ones first."""
    recode: Callable[[bytes, str], Sequence[Statement]]
    """Key, text: puts the text in the place of the value of an entry that is there. Logs nothing,
    since it means the same."""
    unchanged: str
    """Condition of a guard. Key, now, versionstamp or NULL: the key is live with that versionstamp,
    or is not."""
    unchanged_since: str
    """Condition of a guard. Key, now, the random part of a versionstamp: the key is as the commit
    left it that was to have that stamp."""
    have_stamps: Callable[[Sequence[tuple[bytes, str]]], RowCondition]
    """Keys with versionstamps: the condition that an entry is one of them, unchanged."""
    with_values: Callable[[DisjointRanges], WriteSql]
    """The same operations, with the values of keys in these ranges in the log as well."""
