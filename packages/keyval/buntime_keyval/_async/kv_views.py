"""The client's factories of builders, transactions and typed views."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Never, TypeVar, overload

from buntime_keyval._async.atomic import AsyncAtomic, AsyncSource
from buntime_keyval._async.graph import AsyncGraph
from buntime_keyval._async.queues import AsyncMessageQueue
from buntime_keyval._async.records import AsyncRecords
from buntime_keyval._async.stores import AsyncStore
from buntime_keyval._async.transactions import AsyncAttempt, AsyncTransaction, attempts
from buntime_keyval._transaction import Pauses
from buntime_keyval._typed import OnInvalid, make_scope
from buntime_keyval.wire import UUIDV7, Duration, KeyLike, Placeholder
from buntime_keyval.wire.python_options import refuse_unknown

T = TypeVar("T")


class AsyncKvViews:
    """Builders of commits and transactions, and views of the same entries and messages.

    A store in this process hands out the same.
    """

    _source: AsyncSource

    def uuidv7(self) -> Placeholder:
        """Becomes the versionstamp of its commit, in values and in keys of atomic mutations."""
        return UUIDV7

    def atomic(self) -> AsyncAtomic:
        """A builder of checks and mutations that are committed together."""
        return AsyncAtomic(self._source)

    def begin(self) -> AsyncTransaction:
        """A transaction, as `async with kv.begin() as tx`; may end in a `TransactionConflict`."""
        return AsyncTransaction(self._source)

    def attempts(
        self, *, max_retries: int = 3, retry_delay: Duration = 10
    ) -> AsyncIterator[AsyncAttempt]:
        """Transactions until one is committed, for `async for tx in ...: async with tx: ...`.

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
    ) -> AsyncStore[T]: ...
    @overload
    def store(
        self: Any,
        prefix: KeyLike,
        *,
        expires_in: Duration | None = None,
        sliding: bool = False,
        metadata: Any = None,
        on_invalid: OnInvalid = "raise",
    ) -> AsyncStore[Any]: ...
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
    ) -> AsyncStore[Any]:
        """Return the entries below a prefix as a store of its own, with values of one type.

        The type may be a msgspec struct, a dataclass, a TypedDict or anything else that msgspec
        validates, or a Pydantic model, which validates itself. `expires_in` and `metadata` are for
        entries that are set without them; with `sliding`, reading an entry by its key renews that
        life, too (see `AsyncStore.get`). `on_invalid` decides about a value that is read and not of
        the type: "raise" `InvalidValue`, "skip" it as if it were not there, or call a function with
        the entry and the error, which gives the value in its place, as it may have been written by
        an older program.
        """
        if unknown:
            refuse_unknown("store", unknown)
        return AsyncStore(
            self, make_scope(prefix, type, expires_in, metadata, on_invalid, sliding=sliding)
        )

    def records(self: Any, *, strict: bool = False) -> AsyncRecords:
        """The entries whose key is one text, with versions that writers may insist on.

        With `strict`, a missing record fails such a version, too.
        """
        return AsyncRecords(self, strict=strict)

    @property
    def graph(self: Any) -> AsyncGraph:
        """Edges between nodes, below the prefix `["graph"]`; `graph.at(prefix)` is another one."""
        return AsyncGraph(self)

    @overload
    def queue(self: Any, name: str = "", type: None = None) -> AsyncMessageQueue[Any]: ...
    @overload
    def queue(self: Any, name: str, type: type[T]) -> AsyncMessageQueue[T]: ...
    def queue(self: Any, name: str = "", type: type[T] | None = None) -> AsyncMessageQueue[Any]:
        """One queue, with messages of one type."""
        return AsyncMessageQueue(self, name, type)
