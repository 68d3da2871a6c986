# Made by scripts/unasync from _async/kv_views.py: change that one.
"""The client's factories of builders, transactions and typed views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Never, TypeVar, overload

from buntime_keyval._sync.atomic import Atomic, Source
from buntime_keyval._sync.graph import Graph
from buntime_keyval._sync.queues import MessageQueue
from buntime_keyval._sync.records import Records
from buntime_keyval._sync.stores import Store
from buntime_keyval._sync.transactions import Attempt, Transaction, attempts
from buntime_keyval._transaction import Pauses
from buntime_keyval._typed import OnInvalid, make_scope
from buntime_keyval.wire import UUIDV7, Duration, KeyLike, Placeholder
from buntime_keyval.wire.python_options import refuse_unknown

T = TypeVar("T")


class KvViews:
    """Builders of commits and transactions, and views of the same entries and messages.

    A store in this process hands out the same.
    """

    _source: Source

    def uuidv7(self) -> Placeholder:
        """Becomes the versionstamp of its commit, in values and in keys of atomic mutations."""
        return UUIDV7

    def atomic(self) -> Atomic:
        """A builder of checks and mutations that are committed together."""
        return Atomic(self._source)

    def begin(self) -> Transaction:
        """A transaction, as `with kv.begin() as tx`; may end in a `TransactionConflict`."""
        return Transaction(self._source)

    def attempts(self, *, max_retries: int = 3, retry_delay: Duration = 10) -> Iterator[Attempt]:
        """Transactions until one is committed, for `for tx in ...: with tx: ...`.

        The last one raises `TransactionConflict`.
        """
        return attempts(self._source, Pauses(max_retries, retry_delay))

    @overload
    def store(
        self: Any,
        prefix: KeyLike,
        type: type[T],
        *,
        expires_in: Duration | None = None,
        sliding: bool = False,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
    ) -> Store[T]: ...
    @overload
    def store(
        self: Any,
        prefix: KeyLike,
        *,
        expires_in: Duration | None = None,
        sliding: bool = False,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
    ) -> Store[Any]: ...
    def store(
        self: Any,
        prefix: KeyLike,
        type: type[T] | None = None,
        *,
        expires_in: Duration | None = None,
        sliding: bool = False,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
        **unknown: Never,
    ) -> Store[Any]:
        """Return the entries below a prefix as a store of its own, with values of one type.

        The type may be a msgspec struct, a dataclass, a TypedDict or anything else that msgspec
        validates, or a Pydantic model, which validates itself. `expires_in` and `metadata` are for
        entries that are set without them; with `sliding`, reading an entry by its key renews that
        life, too (see `Store.get`). `on_invalid` decides about a value that is read and not of
        the type: "raise" `InvalidValue`, "skip" it as if it were not there, or call a function with
        the entry and the error, which gives the value in its place, as it may have been written by
        an older program.
        """
        if unknown:
            refuse_unknown("store", unknown)
        return Store(
            self, make_scope(prefix, type, expires_in, metadata, on_invalid, sliding=sliding)
        )

    def records(self: Any, *, strict: bool = False) -> Records:
        """The entries whose key is one text, with versions that writers may insist on.

        With `strict`, a missing record fails such a version, too.
        """
        return Records(self, strict=strict)

    @property
    def graph(self: Any) -> Graph:
        """Edges between nodes, below the prefix `["graph"]`; `graph.at(prefix)` is another one."""
        return Graph(self)

    @overload
    def queue(self: Any, name: str = "", type: None = None) -> MessageQueue[Any]: ...
    @overload
    def queue(self: Any, name: str, type: type[T]) -> MessageQueue[T]: ...
    def queue(self: Any, name: str = "", type: type[T] | None = None) -> MessageQueue[Any]:
        """One queue, with messages of one type."""
        return MessageQueue(self, name, type)
