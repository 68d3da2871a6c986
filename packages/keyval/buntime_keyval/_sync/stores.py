# Made by scripts/unasync from _async/stores.py: change that one.
"""Typed stores, over whatever has the methods of `Kv`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, Protocol, TypeVar, overload

from buntime_keyval._calls.keys import checked_limit
from buntime_keyval._results import CommitResult, DeleteResult, KvEntry, KvPage
from buntime_keyval._typed import DELETE_BATCH, Progress, Scope, StoreKey
from buntime_keyval._where import Where
from buntime_keyval.wire import Duration, Key, KeyLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_KEYS_PER_BATCH
from buntime_keyval.wire.python_options import Consistency

T = TypeVar("T")
U = TypeVar("U")


class Entries(Protocol):
    """What a store needs of `Kv`, or of another one with its methods."""

    def get(self, key: Any, *, consistency: Consistency = "eventual") -> Any: ...

    def get_with_metadata(self, key: Any, *, consistency: Consistency = "eventual") -> Any: ...

    def has(self, key: KeyLike, *, consistency: Consistency = "eventual") -> bool: ...

    def set(
        self,
        key: KeyLike,
        value: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        idempotency_key: str | None = None,
    ) -> CommitResult: ...

    def delete(
        self,
        key: Any,
        *,
        exact: bool = False,
        where: Where | None = None,
        idempotency_key: str | None = None,
    ) -> DeleteResult: ...

    def list(
        self,
        prefix: KeyLike,
        *,
        limit: int | None = None,
        reverse: bool = False,
        where: Where | None = None,
        page_size: int = ...,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> Iterator[KvEntry[Any]]: ...

    def paginate(
        self,
        prefix: KeyLike,
        *,
        cursor: str | None = None,
        limit: int = ...,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> KvPage[Any]: ...

    def count(
        self, prefix: KeyLike, *, where: Where | None = None, consistency: Consistency = "eventual"
    ) -> int: ...


class Store(Generic[T]):
    """The entries below a prefix, with values of one type.

    Keys are relative to the prefix, in arguments and in results. Values are validated on their way
    in and out: `InvalidValue` says where one does not fit.
    """

    def __init__(self, kv: Entries, scope: Scope[T]) -> None:
        self._kv = kv
        self._scope = scope

    @property
    def prefix(self) -> Key:
        """The prefix of all keys of the store."""
        return self._scope.prefix

    def key(self, key: StoreKey) -> Key:
        """The absolute key, for atomic commits, transactions and watches.

        What they write to it gets the life and the metadata of the store, and a `set` is checked.
        """
        return self._scope.stored_key(key)

    @overload
    def with_prefix(self, prefix: StoreKey) -> Store[T]: ...
    @overload
    def with_prefix(self, prefix: StoreKey, type: type[U]) -> Store[U]: ...
    def with_prefix(self, prefix: StoreKey, type: Any = None) -> Store[Any]:
        """The store below a longer prefix, of the same type or another one.

        It has the lifetime and the metadata of this one.
        """
        return Store(self._kv, self._scope.below(prefix, type))

    def get(self, key: StoreKey, *, consistency: Consistency = "eventual") -> KvEntry[T]:
        """One entry; value and versionstamp are None where the key does not exist.

        `consistency` is as in `Kv.get`.
        """
        entry = self._kv.get(self._scope.absolute(key), consistency=consistency)
        return self._scope.typed(entry)

    def get_with_metadata(
        self, key: StoreKey, *, consistency: Consistency = "eventual"
    ) -> KvEntry[T]:
        """The same, with the `details` of what exists: its metadata and its times."""
        absolute = self._scope.absolute(key)
        return self._scope.typed(self._kv.get_with_metadata(absolute, consistency=consistency))

    def get_many(
        self, keys: Sequence[StoreKey], *, consistency: Consistency = "eventual"
    ) -> list[KvEntry[T]]:
        """One entry for each key, in their order."""
        if not keys:
            return []
        absolute = [self._scope.absolute(key) for key in keys]
        entries = self._kv.get(absolute, consistency=consistency)
        return [self._scope.typed(entry) for entry in entries]

    def has(self, key: StoreKey, *, consistency: Consistency = "eventual") -> bool:
        """Whether the key exists, whatever its value."""
        return self._kv.has(self._scope.absolute(key), consistency=consistency)

    def set(
        self,
        key: StoreKey,
        value: T,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        idempotency_key: str | None = None,
    ) -> CommitResult:
        """Store a value; its life and its metadata fall back to those of the store."""
        if expires_in is None and expires_at is None:
            expires_in = self._scope.expires_in
        return self._kv.set(
            self._scope.absolute(key),
            self._scope.check(value),
            expires_in=expires_in,
            expires_at=expires_at,
            metadata=self._scope.metadata if metadata is None else metadata,
            idempotency_key=idempotency_key,
        )

    def delete(
        self,
        key: StoreKey,
        *,
        exact: bool = False,
        where: Where | None = None,
        idempotency_key: str | None = None,
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`."""
        return self._kv.delete(
            self._scope.absolute(key), exact=exact, where=where, idempotency_key=idempotency_key
        )

    def list(
        self,
        prefix: StoreKey = (),
        *,
        limit: int | None = None,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> Iterator[KvEntry[T]]:
        """The entries below a prefix of the store, in key order, however many there are.

        With `details` they have their metadata and times, without `values` None for a value.
        With `snapshot` all pages that are read show one state of the store, or raise
        `SnapshotGone`.
        """
        entries = self._kv.list(
            self._scope.absolute_prefix(prefix),
            limit=limit,
            reverse=reverse,
            where=where,
            details=details,
            values=values,
            snapshot=snapshot,
            consistency=consistency,
        )
        for entry in entries:
            yield self._scope.typed(entry, validate=values)

    def get_all(
        self,
        prefix: StoreKey = (),
        *,
        limit: int | None = None,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> Sequence[KvEntry[T]]:
        """The same as a list; `limit` guards against more than fit into memory."""
        entries = self.list(
            prefix,
            limit=limit,
            where=where,
            details=details,
            values=values,
            snapshot=snapshot,
            consistency=consistency,
        )
        return list(entries)

    def paginate(
        self,
        prefix: StoreKey = (),
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> KvPage[T]:
        """One page of the entries below a prefix of the store; options as in `list`."""
        key = self._scope.absolute_prefix(prefix)
        page = self._kv.paginate(
            key,
            cursor=cursor,
            limit=limit,
            reverse=reverse,
            where=where,
            details=details,
            values=values,
            snapshot=snapshot,
            consistency=consistency,
        )
        entries = [self._scope.typed(entry, validate=values) for entry in page.entries]
        return KvPage(entries, page.cursor, page.has_more)

    def count(
        self,
        prefix: StoreKey = (),
        *,
        where: Where | None = None,
        consistency: Consistency = "eventual",
    ) -> int:
        """Number of entries below a prefix of the store."""
        absolute = self._scope.absolute_prefix(prefix)
        return self._kv.count(absolute, where=where, consistency=consistency)

    def delete_all(
        self,
        prefix: StoreKey = (),
        *,
        where: Where | None = None,
        batch_size: int = DELETE_BATCH,
        on_progress: Progress | None = None,
    ) -> DeleteResult:
        """Delete everything below a prefix of the store, and the key that is the prefix.

        Works in batches of `batch_size`, each a commit of its own, and tells `on_progress` after
        each how many entries are deleted. Entries that others add meanwhile may stay.
        """
        return sweep(
            self._kv,
            self._scope.absolute_prefix(prefix),
            where=where,
            batch_size=batch_size,
            on_progress=on_progress,
            include_prefix=prefix not in ((), []),
        )


def sweep(
    kv: Entries,
    prefix: Key,
    *,
    where: Where | None,
    batch_size: int = DELETE_BATCH,
    on_progress: Progress | None = None,
    include_prefix: bool = False,
) -> DeleteResult:
    """Delete what is below a prefix in batches, and the prefix itself if it is included."""
    deleted = 0

    def delete(keys: list[Key]) -> None:
        nonlocal deleted
        result = kv.delete(keys, exact=True, where=where)
        deleted += result.deleted_count
        if on_progress is not None:
            on_progress(deleted)

    size = min(checked_limit(batch_size), MAX_KEYS_PER_BATCH)
    batch: list[Key] = []
    for entry in kv.list(prefix, where=where, page_size=size, values=False):
        batch.append(entry.key)
        if len(batch) == size:
            delete(batch)
            batch = []
    if include_prefix and prefix:
        batch.append(prefix)
    if batch:
        delete(batch)
    return DeleteResult(deleted)
