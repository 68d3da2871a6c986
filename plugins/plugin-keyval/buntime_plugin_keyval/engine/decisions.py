"""Writes as data: the rows that a write needs, and its decision on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence, Set
from typing import Any, ClassVar, Generic, TypeVar, final

import msgspec
from buntime_database import Guard, ResultSet
from buntime_keyval.wire.commits import EntryOptions

from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.options import expiry
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.effects import Effect, Put, unchanged, unchanged_since
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.replays import Kept

T = TypeVar("T")


class View:
    """The view of a decision: the live rows as of the commit that it will be part of."""

    def __init__(
        self,
        sql: Dialect,
        at: Moment,
        versionstamp: str,
        rows: dict[bytes, Row],
        pending: Set[bytes],
    ) -> None:
        """`pending` are the keys of rows that are about to be committed in the same group."""
        self._sql = sql
        self.at = at
        self.now_ms = at.now_ms
        self.versionstamp = versionstamp
        """The versionstamp of the write that is being decided, and of its values: unless the commit
        gives it another one, which `Settled` has then."""
        self._rows = rows
        self._pending = pending
        self._seen: dict[bytes, str | None] = {}

    def get(self, key: bytes) -> Row | None:
        """The live row of a key that the write named in `reads`."""
        row = self._rows.get(key)
        if row is not None and row.expires_at is not None and row.expires_at <= self.now_ms:
            row = None
        self._seen[key] = row.versionstamp if row is not None else None
        return row

    def stamp(self, key: bytes) -> str | None:
        """The versionstamp of the live row of a key that the write named in `stamps`."""
        row = self.get(key)
        return None if row is None else row.versionstamp

    def saw_pending(self) -> bool:
        """Whether anything was looked at that is not committed yet."""
        return not self._pending.isdisjoint(self._seen)

    def guards(self) -> list[Guard]:
        """Conditions under which all that was seen is still so."""
        if not self._seen:
            return []
        sql, now_ms, pending = self._sql, self.now_ms, self._pending
        return [
            guard_of(sql, key, stamp, now_ms, pending=key in pending)
            for key, stamp in self._seen.items()
        ]


def guard_of(
    sql: Dialect, key: bytes, versionstamp: str | None, now_ms: int, *, pending: bool
) -> Guard:
    """Holds while a key is as it was seen: without an entry, or with this versionstamp.

    `pending` says that the same group is about to write it.
    """
    if versionstamp is None or not pending:
        return unchanged(sql, key, versionstamp, now_ms)
    return unchanged_since(sql, key, versionstamp, now_ms)


Settled = Mapping[str, str]
"""Versionstamps that a decision saw, and the ones that the commits have got instead; mostly empty,
since they are the committed ones."""


class Decision(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """The effects of a write, and its conclusion for the caller."""

    effects: Sequence[Effect]
    conclude: Callable[[Sequence[ResultSet], Settled], T] | None
    """Gets the result of each effect: its rows, and their number. Called once it is committed, even
    if the caller has gone. It may raise only a `KeyValError` for the caller, and only where it
    reads results and is never repeated. None if the conclusion is the result of `made` for its
    versionstamp."""
    told: Any = None
    """The part that is kept as JSON beside stamp and counts, for `Write.recall`."""


@final
class SetValue(msgspec.Struct, frozen=True, gc=False):
    """The write of one value, whatever the key has: its effect is known before it is decided."""

    key: bytes
    key_json: str
    value: str
    options: EntryOptions
    size: int
    """Characters of the value; as in `Write`, as all that follows."""

    made: ClassVar[type[str]] = str
    reads: ClassVar[Sequence[bytes]] = ()
    stamps: ClassVar[Sequence[bytes]] = ()
    guards: ClassVar[Sequence[Guard]] = ()
    bounded: ClassVar[bool] = True
    is_long: ClassVar[bool] = False
    has_counts: ClassVar[bool] = False
    may_refuse: ClassVar[bool] = False
    holds_stamp: ClassVar[bool] = False

    def put(self, at: Moment) -> Put:
        """Its effect in a commit of that time."""
        options = self.options
        return Put(
            self.key,
            self.key_json,
            self.value,
            expiry(options, at),
            options.metadata,
            type=options.type,
        )

    @staticmethod
    def recall(kept: Kept) -> str:
        return kept.versionstamp


@final
class PlainWrite(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """The write of one effect, whatever the state: without an idempotency key, if its conclusion is
    its count.
    """

    decision: Decision[T]
    size: int = 0
    """As in `Write`, like all following members."""
    recall: Callable[[Kept], T] | None = None
    has_stamp: bool = True
    """Whether its effect says its versionstamp anywhere: a firm one is not made where it does
    not."""

    made: ClassVar[type[str]] = str
    reads: ClassVar[Sequence[bytes]] = ()
    stamps: ClassVar[Sequence[bytes]] = ()
    guards: ClassVar[Sequence[Guard]] = ()
    bounded: ClassVar[bool] = True
    is_long: ClassVar[bool] = False
    has_counts: ClassVar[bool] = False
    may_refuse: ClassVar[bool] = False
    holds_stamp: ClassVar[bool] = False


class Write(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """A write that is not decided yet."""

    decide: Callable[[View], Decision[T]]
    """Pure; may be called again. Raises exceptions that the caller gets instead of a commit."""
    reads: Sequence[bytes] = ()
    """Keys whose rows `decide` reads."""
    stamps: Sequence[bytes] = ()
    """Keys of which it reads only the versionstamps."""
    bounded: bool = True
    """Whether it touches few rows, so that an embedded engine may run it on the event loop. A write
    that does not commits alone: others would wait for it, or share its uncertainty."""
    size: int = 0
    """About how many bytes of values it brings."""
    is_long: bool = False
    """Whether `decide` takes too long for the event loop."""
    guards: Sequence[Guard] = ()
    """Conditions of the caller: if one does not hold, `GuardFailed` is raised to it, unless it
    `may_refuse`."""
    recall: Callable[[Kept], T] | None = None
    """Makes the conclusion from the kept result of an earlier time; None for a write that is never
    repeated."""
    has_counts: bool = False
    """Whether it needs the counts of the effects for that."""
    may_refuse: bool = False
    """Whether it concludes with None where one of its guards does not hold."""
    holds_stamp: bool = False
    """Whether it may write its versionstamp where no later one can be put in its place."""
    made: ClassVar[type[str]] = str
    """Its conclusion, from its versionstamp, where its decision has none."""
