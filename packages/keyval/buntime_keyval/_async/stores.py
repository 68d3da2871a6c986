"""Typed stores, over whatever has the methods of `AsyncKv`."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Never, TypeAlias, TypeVar, overload

from msgspec.structs import replace

from buntime_keyval._async.atomic import AsyncStoreAtomic
from buntime_keyval._async.concurrency import call
from buntime_keyval._async.kv_core import AsyncKvCore
from buntime_keyval._async.kv_entries import sweep
from buntime_keyval._async.shortcuts import AsyncShortcuts
from buntime_keyval._async.store_watch import AsyncStoreWatch
from buntime_keyval._calls.search import Marks, Tokenizer
from buntime_keyval._calls.stored import StoreKey, StoreOf
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._results import (
    CommitResult,
    DeleteResult,
    KvEntry,
    KvMissing,
    KvPage,
    SearchHit,
    SearchPage,
)
from buntime_keyval._typed import DELETE_BATCH, Progress, Scope
from buntime_keyval._watching import Mode, Overflow
from buntime_keyval._where import Where
from buntime_keyval.wire import Duration, Key, PatternLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT
from buntime_keyval.wire.python_options import Consistency, refuse_unknown

_TRIES = 3
"""How often renewing a life is tried while other writers change it: they may have renewed it,
too."""

T = TypeVar("T")
U = TypeVar("U")

Batch: TypeAlias = Sequence[KvEntry[T] | KvMissing[None]]
Callback: TypeAlias = Callable[[Batch[T]], Any]


class AsyncStore(StoreOf[T], AsyncShortcuts[StoreKey, T]):
    """The entries below a prefix, with values of one type.

    Keys are relative to the prefix, in arguments and in results. Values are validated on their way
    in and out: `InvalidValue` says where one does not fit, unless the store was made with another
    `on_invalid`.
    """

    _scope: Scope[T]

    def __init__(self, kv: AsyncKvCore, scope: Scope[T]) -> None:
        self._kv = kv
        self._scope = scope
        self._flights = kv._flights

    @property
    def prefix(self) -> Key:
        """The prefix of all keys of the store."""
        return self._scope.prefix

    def key(self, key: StoreKey) -> Key:
        """The absolute key, for atomic commits, transactions and watches.

        Writes to it are as if the store made them: checked, and with the life and the metadata of
        the store where a key is set, or created, without others.
        """
        return self._scope.stored_key(key)

    @overload
    def with_prefix(self, prefix: StoreKey) -> AsyncStore[T]: ...
    @overload
    def with_prefix(self, prefix: StoreKey, type: type[U]) -> AsyncStore[U]: ...
    def with_prefix(self, prefix: StoreKey, type: Any = None) -> AsyncStore[Any]:
        """The store below a longer prefix, of the same type or another one.

        It has the lifetime and the metadata of this one, and treats invalid values alike; but a
        function that migrates them is for one type.
        """
        return AsyncStore(self._kv, self._scope.below(prefix, type))

    @overload
    async def get(
        self, key: StoreKey, *, default: None = None, consistency: Consistency = "eventual"
    ) -> KvEntry[T] | KvMissing[None]: ...
    @overload
    async def get(
        self, key: StoreKey, *, default: U, consistency: Consistency = "eventual"
    ) -> KvEntry[T] | KvMissing[U]: ...
    async def get(
        self, key: StoreKey, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]:
        """Return one entry; of a missing key, the value is `default` and the versionstamp None.

        The default is returned as it is, and not validated. `consistency` is as in `AsyncKv.get`.

        In a `sliding` store the entry then lives on for the life of the store, as it does by
        `get_many`, `get_with_metadata` and `get_or_set`. That is a write, which needs its
        permission and makes a new versionstamp: at most once in a tenth of the life.
        """
        absolute = self._scope.absolute(key)
        if self._scope.sliding:
            (entry,) = await self._prolonged([absolute], consistency)
            entry = replace(entry, details=None)
        else:
            entry = await self._kv.get(absolute, consistency=consistency)
        return self._scope.typed(entry).or_default(default)

    async def _prolonged(self, keys: list[Key], consistency: Consistency) -> list[KvEntry[Any]]:
        """Return the entries of keys with their details; renews the lives that come from the
        store.
        """
        entries: list[KvEntry[Any]]
        entries = await self._kv.get_with_metadata(keys, consistency=consistency)
        for _ in range(_TRIES):
            due = self._scope.due(entries, time.time() * 1000)
            if not due:
                break
            atomic = self._kv.atomic()
            for entry in due:
                atomic.check(entry).touch(entry.key, expires_in=self._scope.expires_in)
            is_done = (await atomic.commit()).ok
            entries = await self._kv.get_with_metadata(keys, consistency="strong")
            if is_done:
                break
        return entries

    async def get_with_metadata(
        self, key: StoreKey, *, consistency: Consistency = "eventual"
    ) -> KvEntry[T] | KvMissing[None]:
        """The same, with the `details` of existing entries: their metadata and their times."""
        absolute = self._scope.absolute(key)
        if self._scope.sliding:
            (entry,) = await self._prolonged([absolute], consistency)
        else:
            entry = await self._kv.get_with_metadata(absolute, consistency=consistency)
        return self._scope.typed(entry)

    async def get_many(
        self, keys: Sequence[StoreKey], *, consistency: Consistency = "eventual"
    ) -> Sequence[KvEntry[T] | KvMissing[None]]:
        """One entry for each key, in their order."""
        absolute = self._scope.each_absolute(keys)
        if not absolute:
            return []
        if self._scope.sliding:
            found = await self._prolonged(absolute, consistency)
            return [self._scope.typed(replace(entry, details=None)) for entry in found]
        entries = await self._kv.get(absolute, consistency=consistency)
        return [self._scope.typed(entry) for entry in entries]

    async def has(self, key: StoreKey, *, consistency: Consistency = "eventual") -> bool:
        """Whether the key exists, whatever its value."""
        return await self._kv.has(self._scope.absolute(key), consistency=consistency)

    async def set(
        self,
        key: StoreKey,
        value: T,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        create_only: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
        **unknown: Never,
    ) -> CommitResult:
        """Store a value; its life and its metadata fall back to those of the store.

        Conditions as in `AsyncKv.set`.
        """
        if unknown:
            refuse_unknown("set", unknown)
        return await self._kv.set(
            self._scope.stored_key(key),
            value,
            expires_in=expires_in,
            expires_at=expires_at,
            metadata=metadata,
            type=type,
            create_only=create_only,
            if_match=if_match,
            if_revision=if_revision,
            idempotency_key=idempotency_key,
        )

    async def patch(
        self,
        key: StoreKey,
        patch: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        create_only: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> CommitResult:
        """Merge a JSON Merge Patch into a value; options as in `AsyncKv.patch`.

        An existing entry keeps its life and its metadata; a missing key gets those of the store.
        Members that the type does not have, or has with another type, raise `InvalidValue`; the
        merged value is validated when it is read.
        """
        return await self._kv.patch(
            self._scope.stored_key(key),
            patch,
            expires_in=expires_in,
            expires_at=expires_at,
            metadata=metadata,
            type=type,
            create_only=create_only,
            if_match=if_match,
            if_revision=if_revision,
            idempotency_key=idempotency_key,
        )

    async def delete(
        self,
        key: StoreKey = (),
        *,
        exact: bool = False,
        prefixes: Sequence[StoreKey] | None = None,
        starts_with: StoreKey | None = None,
        pattern: PatternLike | None = None,
        start: StoreKey | None = None,
        end: StoreKey | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`.

        Selectors and conditions are as in `AsyncKv.delete`. Without a key it takes `prefixes`,
        `starts_with`, a `pattern`, `start` or `end`; `delete_all` deletes everything in the store.
        """
        selectors = self._scope.deleted(key, prefixes, starts_with, start, end, type, pattern)
        return await self._kv.delete(
            selectors.pop("prefix"),
            **selectors,
            exact=exact,
            type=type,
            limit=limit,
            offset=offset,
            where=where,
            if_match=if_match,
            if_revision=if_revision,
            idempotency_key=idempotency_key,
        )

    async def list(
        self,
        prefix: StoreKey = (),
        *,
        prefixes: Sequence[StoreKey] | None = None,
        starts_with: StoreKey | None = None,
        pattern: PatternLike | None = None,
        start: StoreKey | None = None,
        end: StoreKey | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> AsyncIterator[KvEntry[T]]:
        """The entries below a prefix of the store, in key order, however many there are.

        Selectors are as in `AsyncKv.list`, and relative to the store.
        With `details` they have their metadata and times, without `values` None for a value.
        With `snapshot` all pages that are read show one state of the store, or raise
        `SnapshotGone`.
        """
        entries = self._kv.list(
            **self._scope.selectors(prefix, prefixes, starts_with, start, end, pattern),
            type=type,
            limit=limit,
            offset=offset,
            reverse=reverse,
            where=where,
            details=details,
            values=values,
            snapshot=snapshot,
            consistency=consistency,
        )
        async for entry in entries:
            found = self._scope.found(entry, validate=values)
            if found is not None:
                yield found

    async def get_all(
        self,
        prefix: StoreKey = (),
        *,
        prefixes: Sequence[StoreKey] | None = None,
        starts_with: StoreKey | None = None,
        pattern: PatternLike | None = None,
        start: StoreKey | None = None,
        end: StoreKey | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> Sequence[KvEntry[T]]:
        """The same as a list; `limit` guards against more entries than fit into memory."""
        entries = self.list(
            prefix,
            prefixes=prefixes,
            starts_with=starts_with,
            pattern=pattern,
            start=start,
            end=end,
            type=type,
            limit=limit,
            offset=offset,
            reverse=reverse,
            where=where,
            details=details,
            values=values,
            snapshot=snapshot,
            consistency=consistency,
        )
        return [entry async for entry in entries]

    async def paginate(
        self,
        prefix: StoreKey = (),
        *,
        prefixes: Sequence[StoreKey] | None = None,
        starts_with: StoreKey | None = None,
        pattern: PatternLike | None = None,
        start: StoreKey | None = None,
        end: StoreKey | None = None,
        type: str | None = None,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> KvPage[T]:
        """One page of the entries below a prefix of the store; options as in `list`."""
        page = await self._kv.paginate(
            **self._scope.selectors(prefix, prefixes, starts_with, start, end, pattern),
            type=type,
            cursor=cursor,
            limit=limit,
            offset=offset,
            reverse=reverse,
            where=where,
            details=details,
            values=values,
            snapshot=snapshot,
            consistency=consistency,
        )
        entries = self._scope.all_found(page.entries, validate=values)
        return KvPage(entries, page.cursor, page.has_more)

    async def count(
        self,
        prefix: StoreKey = (),
        *,
        prefixes: Sequence[StoreKey] | None = None,
        starts_with: StoreKey | None = None,
        pattern: PatternLike | None = None,
        start: StoreKey | None = None,
        end: StoreKey | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        consistency: Consistency = "eventual",
    ) -> int:
        """Number of entries below a prefix of the store; selectors as in `list`."""
        return await self._kv.count(
            **self._scope.selectors(prefix, prefixes, starts_with, start, end, pattern),
            type=type,
            limit=limit,
            offset=offset,
            where=where,
            consistency=consistency,
        )

    async def delete_all(
        self,
        prefix: StoreKey = (),
        *,
        where: Where | None = None,
        batch_size: int = DELETE_BATCH,
        on_progress: Progress | None = None,
    ) -> DeleteResult:
        """Delete everything below a prefix of the store, and the key that is the prefix.

        Works in batches of `batch_size`, each a commit of its own, and calls `on_progress` after
        each with the number of deleted entries. Entries that are added meanwhile may stay.
        """
        return await sweep(
            self._kv,
            self._scope.absolute_prefix(prefix),
            where=where,
            batch_size=batch_size,
            on_progress=on_progress,
            include_prefix=prefix not in ((), []),
        )

    def _whole_key(self, key: StoreKey) -> Key:
        return self._scope.absolute(key)

    def atomic(self) -> AsyncStoreAtomic[T]:
        """Return a commit whose keys are relative to the store, and whose values have its type."""
        return self._kv.atomic().of(self)

    def watch(
        self,
        key: StoreKey | Sequence[StoreKey] = (),
        callback: Callback[T] | None = None,
        *,
        exact: bool = False,
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        emit_initial: bool = True,
        limit: int | None = None,
        buffer_size: int | None = None,
        overflow_strategy: Overflow = "drop-oldest",
        shared: bool = False,
        on_error: ErrorHandler | None = None,
    ) -> AsyncStoreWatch[T]:
        """Follow the changes of the whole store, or of keys of it; options as in `AsyncKv.watch`.

        Several keys are a list of lists or tuples.
        """
        scope = self._scope
        keys = scope.absolute_keys(key)
        tell = None
        if callback is not None:
            given = callback

            async def tell(batch: Batch[Any]) -> None:
                told = scope.told(batch, exact=exact)
                if told is not None:
                    await call(given, told)

        watch = self._kv.watch(
            keys,
            tell,
            exact=exact,
            mode=mode,
            poll_interval=poll_interval,
            emit_initial=emit_initial,
            limit=limit,
            buffer_size=buffer_size,
            overflow_strategy=overflow_strategy,
            shared=shared,
            on_error=on_error,
        )
        return AsyncStoreWatch(watch, scope, exact=exact)

    async def create_index(
        self,
        *,
        fields: Sequence[str],
        tokenize: Tokenizer = "unicode61",
        prefix: StoreKey = (),
        idempotency_key: str | None = None,
    ) -> None:
        """Index these fields of all entries of the store, or of those below a prefix of it.

        Replaces an index that is there.
        """
        await self._kv.create_index(
            self._scope.absolute(prefix),
            fields=fields,
            tokenize=tokenize,
            idempotency_key=idempotency_key,
        )

    async def remove_index(
        self, *, prefix: StoreKey = (), idempotency_key: str | None = None
    ) -> None:
        """Remove an index, if it is there; the entries stay."""
        absolute = self._scope.absolute(prefix)
        await self._kv.remove_index(absolute, idempotency_key=idempotency_key)

    async def search(
        self,
        query: str,
        *,
        prefix: StoreKey = (),
        limit: int | None = None,
        where: Where | None = None,
        start: StoreKey | None = None,
        end: StoreKey | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        consistency: Consistency = "eventual",
    ) -> AsyncIterator[SearchHit[T]]:
        """Iterate over the entries that match a query, the most relevant first; options as in
        `AsyncKv.search`.

        The index is that of the store, or of `prefix` in it.
        """
        hits = self._kv.search(
            self._scope.absolute(prefix),
            query,
            limit=limit,
            where=where,
            start=self._scope.bound(start),
            end=self._scope.bound(end),
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
            consistency=consistency,
        )
        async for hit in hits:
            found = self._scope.found(hit)
            if found is not None:
                yield found

    async def paginate_search(
        self,
        query: str,
        *,
        prefix: StoreKey = (),
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        where: Where | None = None,
        start: StoreKey | None = None,
        end: StoreKey | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
        fuzzy: bool = False,
        explain: bool = False,
        consistency: Consistency = "eventual",
    ) -> SearchPage[T]:
        """Return one page (at most 1000) of the hits of `search`; `cursor` is that of the previous
        page.

        `explain` asks how it was found (`explained`), and how good each hit is (`score`).
        """
        page = await self._kv.paginate_search(
            self._scope.absolute(prefix),
            query,
            cursor=cursor,
            limit=limit,
            where=where,
            start=self._scope.bound(start),
            end=self._scope.bound(end),
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
            fuzzy=fuzzy,
            explain=explain,
            consistency=consistency,
        )
        return replace(page, entries=self._scope.all_found(page.entries))
