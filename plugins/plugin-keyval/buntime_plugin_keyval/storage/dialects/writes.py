"""Writing entries, and the guards of what writes have seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeAlias

from buntime_database import Statement

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.storage.ranges import DisjointRanges, KeyRange
from buntime_plugin_keyval.storage.selection import RowCondition


class NewEntry(Protocol):
    """An entry to be stored."""

    @property
    def key(self) -> bytes: ...

    @property
    def key_json(self) -> str: ...

    @property
    def value(self) -> str: ...

    @property
    def expires_at(self) -> int | None: ...

    @property
    def metadata(self) -> str | None: ...

    @property
    def type(self) -> str | None: ...

    @property
    def is_anew(self) -> bool:
        """Whether the same commit deleted the key before."""

    @property
    def is_stamped(self) -> bool:
        """Whether key and its JSON hold the versionstamp, so that a later one goes in there."""


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
