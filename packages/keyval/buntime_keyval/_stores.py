"""Typed stores of both clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar, overload

from buntime_keyval._calls import keys as calls
from buntime_keyval._entries import Shape
from buntime_keyval._pages import Pager
from buntime_keyval._results import CommitResult, DeleteResult, KvEntry, KvPage
from buntime_keyval._session import AsyncSession, Session
from buntime_keyval._sweep import Sweep
from buntime_keyval._typed import DELETE_BATCH, Progress, Scope, StoreKey
from buntime_keyval._where import Where
from buntime_keyval.wire import Key, KeyLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT

T = TypeVar("T")
U = TypeVar("U")


class AsyncStore(Generic[T]):
    """The entries below a prefix, with values of one type.

    Keys are relative to the prefix, in arguments and in results. Values are validated on their way
    in and out: `InvalidValue` says where one does not fit.
    """

    def __init__(self, session: AsyncSession, scope: Scope[T]) -> None:
        self._session = session
        self._scope = scope

    @property
    def prefix(self) -> Key:
        """The prefix of all keys of the store."""
        return self._scope.prefix

    def key(self, key: StoreKey) -> Key:
        """The absolute key, for atomic commits, transactions and watches."""
        return self._scope.absolute(key)

    @overload
    def with_prefix(self, prefix: StoreKey) -> AsyncStore[T]: ...
    @overload
    def with_prefix(self, prefix: StoreKey, type: type[U]) -> AsyncStore[U]: ...
    def with_prefix(self, prefix: StoreKey, type: Any = None) -> AsyncStore[Any]:
        """The store below a longer prefix, of the same type or another one.

        It has the lifetime and the metadata of this one.
        """
        return AsyncStore(self._session, self._scope.below(prefix, type))

    async def get(self, key: StoreKey) -> KvEntry[T]:
        """One entry; value and versionstamp are None where the key does not exist."""
        return self._scope.typed(await self._session.send(calls.get(self._scope.absolute(key))))

    async def get_with_metadata(self, key: StoreKey) -> KvEntry[T]:
        """The same, with the `details` of what exists: its metadata and its times."""
        call = calls.get(self._scope.absolute(key), Shape(details=True))
        return self._scope.typed(await self._session.send(call))

    async def get_many(self, keys: Sequence[StoreKey]) -> list[KvEntry[T]]:
        """One entry for each key, in their order."""
        if not keys:
            return []
        call = calls.get_many([self._scope.absolute(key) for key in keys])
        return [self._scope.typed(entry) for entry in await self._session.send(call)]

    async def has(self, key: StoreKey) -> bool:
        """Whether the key exists, whatever its value."""
        return await self._session.send(calls.has(self._scope.absolute(key)))

    async def set(
        self,
        key: StoreKey,
        value: T,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> CommitResult:
        """Store a value; its life and its metadata fall back to those of the store."""
        call = self._scope.set_call(key, value, expires_in, expires_at, metadata)
        return await self._session.send(call)

    async def delete(
        self, key: StoreKey, *, exact: bool = False, where: Where | None = None
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`."""
        call = calls.delete(self._scope.absolute(key), exact=exact, where=where)
        return await self._session.send(call)

    async def list(
        self,
        prefix: StoreKey = (),
        *,
        limit: int | None = None,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
    ) -> AsyncIterator[KvEntry[T]]:
        """The entries below a prefix of the store, in key order, however many there are.

        With `details` they have their metadata and times, without `values` None for a value.
        """
        pager = Pager(
            self._scope.absolute_prefix(prefix),
            limit=limit,
            reverse=reverse,
            where=where,
            shape=Shape(values, details),
        )
        while (call := pager.next_call()) is not None:
            for entry in pager.take(await self._session.send(call)):
                yield self._scope.typed(entry, validate=values)

    async def get_all(
        self,
        prefix: StoreKey = (),
        *,
        limit: int | None = None,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
    ) -> Sequence[KvEntry[T]]:
        """The same as a list; `limit` guards against more than fit into memory."""
        entries = self.list(prefix, limit=limit, where=where, details=details, values=values)
        return [entry async for entry in entries]

    async def paginate(
        self,
        prefix: StoreKey = (),
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
    ) -> KvPage[T]:
        """One page of the entries below a prefix of the store; options as in `list`."""
        key = self._scope.absolute_prefix(prefix)
        shape = Shape(values, details)
        page = await self._session.send(
            calls.paginate(
                key, cursor=cursor, limit=limit, reverse=reverse, where=where, shape=shape
            )
        )
        entries = [self._scope.typed(entry, validate=values) for entry in page.entries]
        return KvPage(entries, page.cursor, page.has_more)

    async def count(self, prefix: StoreKey = (), *, where: Where | None = None) -> int:
        """Number of entries below a prefix of the store."""
        return await self._session.send(calls.count(self._scope.absolute_prefix(prefix), where))

    async def delete_all(
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
        sweep = Sweep(self._scope.absolute_prefix(prefix), where, batch_size)
        return await sweep_async(
            self._session, sweep, on_progress, include_prefix=prefix not in ((), [])
        )


class Store(Generic[T]):
    """The entries below a prefix, with values of one type.

    Keys are relative to the prefix, in arguments and in results. Values are validated on their way
    in and out: `InvalidValue` says where one does not fit.
    """

    def __init__(self, session: Session, scope: Scope[T]) -> None:
        self._session = session
        self._scope = scope

    @property
    def prefix(self) -> Key:
        """The prefix of all keys of the store."""
        return self._scope.prefix

    def key(self, key: StoreKey) -> Key:
        """The absolute key, for atomic commits, transactions and watches."""
        return self._scope.absolute(key)

    @overload
    def with_prefix(self, prefix: StoreKey) -> Store[T]: ...
    @overload
    def with_prefix(self, prefix: StoreKey, type: type[U]) -> Store[U]: ...
    def with_prefix(self, prefix: StoreKey, type: Any = None) -> Store[Any]:
        """The store below a longer prefix, of the same type or another one.

        It has the lifetime and the metadata of this one.
        """
        return Store(self._session, self._scope.below(prefix, type))

    def get(self, key: StoreKey) -> KvEntry[T]:
        """One entry; value and versionstamp are None where the key does not exist."""
        return self._scope.typed(self._session.send(calls.get(self._scope.absolute(key))))

    def get_with_metadata(self, key: StoreKey) -> KvEntry[T]:
        """The same, with the `details` of what exists: its metadata and its times."""
        call = calls.get(self._scope.absolute(key), Shape(details=True))
        return self._scope.typed(self._session.send(call))

    def get_many(self, keys: Sequence[StoreKey]) -> list[KvEntry[T]]:
        """One entry for each key, in their order."""
        if not keys:
            return []
        call = calls.get_many([self._scope.absolute(key) for key in keys])
        return [self._scope.typed(entry) for entry in self._session.send(call)]

    def has(self, key: StoreKey) -> bool:
        """Whether the key exists, whatever its value."""
        return self._session.send(calls.has(self._scope.absolute(key)))

    def set(
        self,
        key: StoreKey,
        value: T,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> CommitResult:
        """Store a value; its life and its metadata fall back to those of the store."""
        call = self._scope.set_call(key, value, expires_in, expires_at, metadata)
        return self._session.send(call)

    def delete(
        self, key: StoreKey, *, exact: bool = False, where: Where | None = None
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`."""
        call = calls.delete(self._scope.absolute(key), exact=exact, where=where)
        return self._session.send(call)

    def list(
        self,
        prefix: StoreKey = (),
        *,
        limit: int | None = None,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
    ) -> Iterator[KvEntry[T]]:
        """The entries below a prefix of the store, in key order, however many there are.

        With `details` they have their metadata and times, without `values` None for a value.
        """
        pager = Pager(
            self._scope.absolute_prefix(prefix),
            limit=limit,
            reverse=reverse,
            where=where,
            shape=Shape(values, details),
        )
        while (call := pager.next_call()) is not None:
            for entry in pager.take(self._session.send(call)):
                yield self._scope.typed(entry, validate=values)

    def get_all(
        self,
        prefix: StoreKey = (),
        *,
        limit: int | None = None,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
    ) -> Sequence[KvEntry[T]]:
        """The same as a list; `limit` guards against more than fit into memory."""
        entries = self.list(prefix, limit=limit, where=where, details=details, values=values)
        return [*entries]

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
    ) -> KvPage[T]:
        """One page of the entries below a prefix of the store; options as in `list`."""
        key = self._scope.absolute_prefix(prefix)
        shape = Shape(values, details)
        page = self._session.send(
            calls.paginate(
                key, cursor=cursor, limit=limit, reverse=reverse, where=where, shape=shape
            )
        )
        entries = [self._scope.typed(entry, validate=values) for entry in page.entries]
        return KvPage(entries, page.cursor, page.has_more)

    def count(self, prefix: StoreKey = (), *, where: Where | None = None) -> int:
        """Number of entries below a prefix of the store."""
        return self._session.send(calls.count(self._scope.absolute_prefix(prefix), where))

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
        sweep = Sweep(self._scope.absolute_prefix(prefix), where, batch_size)
        return sweep_blocking(
            self._session, sweep, on_progress, include_prefix=prefix not in ((), [])
        )


async def sweep_async(
    session: AsyncSession, sweep: Sweep, on_progress: Progress | None, *, include_prefix: bool
) -> DeleteResult:
    """Delete all that a sweep finds."""
    while (page_call := sweep.page_call()) is not None:
        deletion = sweep.delete_call(await session.send(page_call))
        if deletion is not None:
            deleted = sweep.count(await session.send(deletion))
            if on_progress is not None:
                on_progress(deleted)
    deletion = sweep.last_call(include_prefix=include_prefix)
    if deletion is not None:
        deleted = sweep.count(await session.send(deletion))
        if on_progress is not None:
            on_progress(deleted)
    return DeleteResult(sweep.deleted)


def sweep_blocking(
    session: Session, sweep: Sweep, on_progress: Progress | None, *, include_prefix: bool
) -> DeleteResult:
    """The same, blocking."""
    while (page_call := sweep.page_call()) is not None:
        deletion = sweep.delete_call(session.send(page_call))
        if deletion is not None:
            deleted = sweep.count(session.send(deletion))
            if on_progress is not None:
                on_progress(deleted)
    deletion = sweep.last_call(include_prefix=include_prefix)
    if deletion is not None:
        deleted = sweep.count(session.send(deletion))
        if on_progress is not None:
            on_progress(deleted)
    return DeleteResult(sweep.deleted)


def make_scope(
    prefix: KeyLike, type: type[T] | None, expires_in: float | str | None, metadata: Any
) -> Scope[T]:
    """The scope of a store. Raises `InvalidInput` for a type that cannot be validated."""
    return Scope(prefix, type, expires_in, metadata)
