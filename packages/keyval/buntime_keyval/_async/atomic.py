"""Atomic commits to any target that takes them: an API, or a store of this process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from buntime_keyval._calls.atomic import AtomicBuilder, MutationKey, contents_of
from buntime_keyval._calls.keys import Entry
from buntime_keyval._calls.stored import StoreOf
from buntime_keyval._results import CommitResult
from buntime_keyval._scoped import ScopedBuilder
from buntime_keyval._typed import scope_of
from buntime_keyval.wire import Key

T = TypeVar("T")


class AsyncSource(Protocol):
    """The target of a transaction: where it reads and commits."""

    async def read(self, keys: Sequence[Key]) -> list[Entry]:
        """The newest entries of checked keys, at least one, in their order."""

    async def commit(
        self,
        atomic: AtomicBuilder[Any],
        idempotency_key: str | None = None,
        *,
        results: bool = False,
    ) -> CommitResult:
        """Apply all mutations if all checks hold; with `results` return those of the mutations."""


class AsyncAtomic(AtomicBuilder[MutationKey]):
    """Checks and mutations of `AsyncKv`, committed together."""

    def __init__(self, source: AsyncSource) -> None:
        super().__init__()
        self._source = source

    async def commit(
        self, *, results: bool = False, idempotency_key: str | None = None
    ) -> CommitResult:
        """Apply all mutations if all checks hold; `ok` is False, and nothing written, if not.

        With `results` the answer has the result of each mutation, which needs the permission to
        read it. With an `idempotency_key` that was used before, nothing is written and the earlier
        result returned. Raises `InvalidInput` (of a client: `RequestRejected`) when a mutation
        meets a value that it cannot work on, and `OutcomeUnknown` when the answer was lost.
        """
        return await self._source.commit(self, idempotency_key, results=results)

    def of(self, store: StoreOf[T]) -> AsyncStoreAtomic[T]:
        """The same commit for the entries of a typed store, with its keys and its type."""
        return AsyncStoreAtomic(self, store)


class AsyncStoreAtomic(ScopedBuilder[T]):
    """Checks and mutations of the entries of a typed store, in a commit that others may share.

    Keys are relative to the store, also those of the entries that `check` takes.
    """

    def __init__(self, atomic: AsyncAtomic, store: StoreOf[T]) -> None:
        super().__init__(contents_of(atomic), scope_of(store))
        self._atomic = atomic

    async def commit(
        self, *, results: bool = False, idempotency_key: str | None = None
    ) -> CommitResult:
        """Commit everything that was collected, of this store and of others; as
        `AsyncAtomic.commit`.

        `results` are plain values, which are not validated.
        """
        return await self._atomic.commit(results=results, idempotency_key=idempotency_key)
