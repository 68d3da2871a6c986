"""The store for other plugins: Python keys and values, checked as over HTTP."""

from __future__ import annotations

import logging
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from datetime import datetime
from typing import Any, TypeVar, overload

from buntime_database import Adapter
from buntime_keyval import (
    CommitResult,
    DeleteResult,
    InvalidInput,
    Key,
    KeyPart,
    KvEntry,
    KvPage,
    TransactionResult,
    VacuumResult,
)
from buntime_keyval.wire import (
    UUIDV7,
    Placeholder,
    decode_key,
    decode_value,
    encode_key,
    encode_value,
    key_to_json,
)
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_keys

from buntime_plugin_keyval.atomic import Atomic
from buntime_plugin_keyval.changes import Change
from buntime_plugin_keyval.entries import read_entries, shaped_json
from buntime_plugin_keyval.metrics.local import KvMetrics
from buntime_plugin_keyval.options import make_options
from buntime_plugin_keyval.queue.local import KvQueue
from buntime_plugin_keyval.search.indexes import IndexInfo
from buntime_plugin_keyval.search.local import LocalSearch, Marks, SearchHit
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants
from buntime_plugin_keyval.storage.selection import PLAIN, Shape
from buntime_plugin_keyval.store import continue_at, listing_range, make_cursor
from buntime_plugin_keyval.sweeper import vacuum
from buntime_plugin_keyval.transaction import KvTransaction, run_transaction
from buntime_plugin_keyval.triggers import Trigger, TriggerHandler, Triggers
from buntime_plugin_keyval.watch.local import LocalWatches, checked_limit, make_target
from buntime_plugin_keyval.where import InvalidWhere, Where, parse_where

T = TypeVar("T")
KeyLike = Sequence[KeyPart]
"""A key as callers write it: a list or tuple of parts."""
Entries = list[KvEntry[Any]]
Changes = list[Change]
Indexes = list[IndexInfo]


class Kv:
    """What `ctx.get_plugin("@buntime/plugin-keyval")` returns.

    Every method checks its input as the HTTP routes do and raises `InvalidInput`; a database that
    cannot serve raises `buntime_database.DatabaseUnavailable`, with nothing written.
    """

    def __init__(self, service: KeyValService) -> None:
        self._service = service
        self._store = service.store
        self._triggers = Triggers(service.store)
        self._watches = LocalWatches(service.store, service.watches)
        self.queue = KvQueue(service.queue, service.dispatcher, service.store.clock)
        """Messages: enqueueing, processing, dead letters."""
        self.metrics = KvMetrics(service)
        """What was measured: as JSON, and in Prometheus' text format."""
        self._search = LocalSearch(service.search)

    @overload
    async def get(  # type: ignore[overload-overlap] # a str is a key part and a sequence of them
        self, key: KeyLike
    ) -> KvEntry[Any]: ...
    @overload
    async def get(self, key: Sequence[KeyLike]) -> Entries: ...
    async def get(self, key: Any) -> KvEntry[Any] | Entries:
        """One entry, or, for a list of keys, one for each in their order; `[]` for no keys.

        A key that does not exist gives an entry with value and versionstamp None.
        """
        if isinstance(key, (list, tuple)) and (not key or isinstance(key[0], (list, tuple))):
            return await self._get_many(key)
        checked = checked_key(key)
        found = await self._store.get(encode_key(checked))
        if found is None:
            return KvEntry(checked, None, None)
        value, versionstamp = found
        return KvEntry(checked, decode_value(value), versionstamp)

    @overload
    async def get_with_metadata(  # type: ignore[overload-overlap] # as above
        self, key: KeyLike
    ) -> KvEntry[Any]: ...
    @overload
    async def get_with_metadata(self, key: Sequence[KeyLike]) -> Entries: ...
    async def get_with_metadata(self, key: Any) -> KvEntry[Any] | Entries:
        """The same, with the `details` of what exists: its metadata and its times."""
        if isinstance(key, (list, tuple)) and (not key or isinstance(key[0], (list, tuple))):
            return await self._get_with_details(checked_keys(key)) if key else []
        (entry,) = await self._get_with_details([checked_key(key)])
        return entry

    async def has(self, key: KeyLike) -> bool:
        """Whether a key exists, whatever its value, which is not read."""
        return await self._store.size(encode_key(checked_key(key))) is not None

    async def set(
        self,
        key: KeyLike,
        value: Any,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> CommitResult:
        """Store a value, in the place of the one that is there with its life and its metadata.

        `expires_in` is milliseconds or a duration text and wins over `expires_at`, epoch
        milliseconds or an aware datetime; without them it stays for ever. `metadata` is anything
        that a value may be, up to 16 KiB of JSON.
        """
        checked = checked_key(key)
        now_ms = self._store.clock()
        versionstamp = await self._store.set(
            encode_key(checked),
            key_to_json(checked),
            encode_value(value, now_ms),
            make_options(expires_in, expires_at, metadata, now_ms),
        )
        return CommitResult(ok=True, versionstamp=versionstamp)

    async def delete(
        self,
        key: KeyLike | Sequence[KeyLike],
        *,
        exact: bool = False,
        where: dict[str, Any] | None = None,
        everything: bool = False,
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`; or several keys.

        `where` restricts that to entries whose value matches. The empty prefix, which is the
        whole store, has to be confirmed with `everything=True`.
        """
        condition = _filter(where)
        if not key:
            if not everything:
                raise InvalidInput(
                    "Key cannot be empty; to delete the whole store say everything=True"
                )
            count = await self._store.delete_ranges([descendants(b"")], where=condition)
        else:
            many = isinstance(key, (list, tuple)) and isinstance(key[0], (list, tuple))
            keys = checked_keys(key) if many else [checked_key(key)]
            encoded = [encode_key(item) for item in keys]
            count = await self._store.delete(encoded, exact=exact, where=condition)
        return DeleteResult(count)

    async def list(
        self,
        prefix: KeyLike = (),
        *,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        limit: int | None = None,
        reverse: bool = False,
        where: dict[str, Any] | None = None,
        details: bool = False,
        values: bool = True,
    ) -> AsyncIterator[KvEntry[Any]]:
        """The entries below a prefix in key order, `start` inclusive, `end` exclusive.

        Without `limit` all of them, read a page at a time, each page from its own snapshot. With
        `details` they have their metadata and times, without `values` None for a value.
        """
        shape = Shape(values, details)
        keys = listing_range(_encode_prefix(prefix), _encode_bound(start), _encode_bound(end))
        condition = _filter(where)
        left = None if limit is None else _checked_limit(limit)
        while left is None or left > 0:
            size = MAX_LIMIT if left is None else min(left, MAX_LIMIT)
            entries = await self._read(keys, size, reverse, condition, shape)
            for entry in entries:
                yield entry
            if len(entries) < size:
                return
            last = encode_key(entries[-1].key)
            keys = keys.before(last) if reverse else keys.after(last)
            left = None if left is None else left - size

    async def count(self, prefix: KeyLike = (), *, where: dict[str, Any] | None = None) -> int:
        """Number of entries below a prefix."""
        return await self._store.count(descendants(_encode_prefix(prefix)), where=_filter(where))

    async def paginate(
        self,
        prefix: KeyLike = (),
        *,
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        reverse: bool = False,
        where: dict[str, Any] | None = None,
        details: bool = False,
        values: bool = True,
    ) -> KvPage[Any]:
        """One page of the entries below a prefix; `cursor` is the one of the page before.

        `details` and `values` are as in `list`.
        """
        size = min(_checked_limit(limit), MAX_LIMIT)
        keys = continue_at(descendants(_encode_prefix(prefix)), cursor, reverse=reverse)
        shape = Shape(values, details)
        entries = await self._read(keys, size + 1, reverse, _filter(where), shape)
        has_more = len(entries) > size
        del entries[size:]
        last = make_cursor(encode_key(entries[-1].key)) if has_more else None
        return KvPage(entries, last, has_more)

    async def vacuum(self, *, limit: int | None = None) -> VacuumResult:
        """Remove what has expired now, all of it or at most `limit` entries.

        That happens by itself too; it is for who wants the room, or the events, at once.
        """
        most = sys.maxsize if limit is None else _checked_limit(limit)
        return VacuumResult(*await vacuum(self._store, most))

    def atomic(self) -> Atomic:
        """A builder of checks and mutations that are committed together."""
        return Atomic(self._store)

    async def transaction(
        self,
        fn: Callable[[KvTransaction], Awaitable[T]],
        *,
        max_retries: int = 0,
        retry_delay: float = 10,
    ) -> TransactionResult[T]:
        """Run `fn` over a snapshot and commit what it wrote if nothing that it read has changed.

        After a conflict `fn` runs again, up to `max_retries` times, each time after
        `retry_delay` milliseconds times two to the number of tries, and up to `retry_delay` more.
        An exception of `fn` ends the transaction: nothing is written, nothing is tried again.
        """
        return await run_transaction(
            self._store, fn, max_retries=max_retries, retry_delay_ms=retry_delay
        )

    def uuidv7(self) -> Placeholder:
        """A key part for atomic mutations that becomes the versionstamp of their commit."""
        return UUIDV7

    def add_trigger(
        self,
        *,
        prefix: KeyLike = (),
        events: Sequence[str] = ("set", "delete"),
        handler: TriggerHandler,
    ) -> Callable[[], None]:
        """Call `handler` for every changed key that is or extends `prefix`; returns the way out.

        Called after the commit and before its writer goes on, once for each key, in the order of
        registration. What a handler raises is logged and changes nothing. Expiry is no event.
        """
        return self._triggers.add(Trigger(_encode_prefix(prefix), tuple(events), handler))

    def watch(
        self,
        keys: KeyLike | Sequence[KeyLike] | None = None,
        *,
        prefix: KeyLike | None = None,
        prefixes: Sequence[KeyLike] | None = None,
        initial: bool = True,
        limit: int = DEFAULT_LIMIT,
    ) -> AsyncGenerator[Entries, None]:
        """The current entries, unless `initial` is False, then those that change, for `async for`.

        Watches a key, several keys, what extends a prefix, or several keys with what extends
        them. `limit` bounds each list, and so how much of a prefix the first one shows. Whoever is
        slow gets the latest states; an entry that is gone has value and versionstamp None. An
        empty list comes only to who is slower than the change log is long: all that is there
        follows, and what does not is gone.
        """
        target = make_target(keys, prefix, prefixes)
        return self._watches.watch(target, initial=initial, limit=checked_limit(limit))

    async def changes(
        self, *, after: int = 0, prefix: KeyLike = (), limit: int = MAX_LIMIT
    ) -> Changes:
        """The change log behind `after`, oldest first: of all keys, or of a prefix with its own.

        The log is trimmed by age and number, so the first `seq` may lie well behind `after`.
        """
        encoded = _encode_prefix(prefix)
        keys = KeyRange(encoded, encoded + b"\xff") if encoded else None
        return await self._store.changes(after, limit=_checked_limit(limit), keys=keys)

    async def create_index(
        self, prefix: KeyLike, *, fields: Sequence[str], tokenize: str = "unicode61"
    ) -> None:
        """Index fields of the values at a prefix and below it, for `search`; replaces an older one.

        Fields are paths such as `title`, `author.name` or `tags[0]`. `tokenize` is `unicode61`,
        `porter`, `ascii` or `trigram`. Returns when everything that is stored is indexed; from
        then on every write keeps the index, in its own commit.
        """
        await self._search.create_index(prefix, fields, tokenize)

    async def list_indexes(self) -> Indexes:
        """All indexes in the order of their prefixes, those that are being built too."""
        return await self._search.list_indexes()

    async def remove_index(self, prefix: KeyLike) -> bool:
        """Drop the index of a prefix and keep the data; whether there was one."""
        return await self._search.remove_index(prefix)

    def search(
        self,
        prefix: KeyLike,
        query: str,
        *,
        limit: int | None = None,
        where: dict[str, Any] | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        reverse: bool = False,
        weights: Mapping[str, float] | None = None,
        highlight: Marks = False,
        snippet: bool | int = False,
    ) -> AsyncIterator[SearchHit]:
        """The entries that match, the best first, equally good ones by key; all without `limit`.

        Only an index of exactly this prefix is asked; raises `IndexNotFound` without one.
        `weights` say how much a hit in a field counts, 1 unless given. `highlight` and `snippet`
        (True, or a number of words) ask for the texts with their hits marked, and for extracts.
        """
        return self._search.search(
            prefix,
            query,
            limit=limit,
            where=where,
            start=start,
            end=end,
            reverse=reverse,
            weights=weights,
            highlight=highlight,
            snippet=snippet,
        )

    def get_adapter(self) -> Adapter:
        """The adapter of the database that holds the store."""
        return self._store.adapter

    def get_logger(self) -> logging.Logger:
        """The logger of the plugin."""
        return self._store.logger

    async def close(self) -> None:
        """End watches and listeners, let running handlers and every accepted write finish.

        The adapter stays open. Idempotent.
        """
        self._watches.close()
        await self.queue.close()
        await self._store.close()

    async def _read(
        self,
        keys: KeyRange,
        limit: int,
        reverse: bool,
        where: Where | None,
        shape: Shape,
    ) -> Entries:
        if shape == PLAIN:
            rows = await self._store.list_rows(keys, limit=limit, reverse=reverse, where=where)
            return [_entry(row) for row in rows]
        entries = await self._store.list_json(
            keys, limit=limit, reverse=reverse, where=where, shape=shape
        )
        return read_entries(entries)

    async def _get_with_details(self, keys: Sequence[Key]) -> Entries:
        encoded = [encode_key(key) for key in keys]
        shape = Shape(details=True)
        found = await self._store.get_many_json(encoded, shape)
        return read_entries(",".join(shaped_json(keys, encoded, found, shape)))

    async def _get_many(self, raw: Sequence[KeyLike]) -> Entries:
        if not raw:
            return []
        keys = checked_keys(raw)
        encoded = [encode_key(key) for key in keys]
        rows = await self._store.get_many(encoded)
        entries: Entries = []
        for key, code in zip(keys, encoded, strict=True):
            row = rows.get(code)
            if row is None:
                entries.append(KvEntry(key, None, None))
            else:
                entries.append(KvEntry(key, decode_value(row.value), row.versionstamp))
        return entries


def _entry(row: tuple[bytes, str, str]) -> KvEntry[Any]:
    key, value, versionstamp = row
    return KvEntry(decode_key(key), decode_value(value), versionstamp)


def _encode_prefix(prefix: KeyLike) -> bytes:
    return encode_key(checked_key(prefix)) if prefix else b""


def _encode_bound(bound: KeyLike | None) -> bytes | None:
    return encode_key(checked_key(bound)) if bound else None


def _checked_limit(limit: int) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 1:
        raise InvalidInput(f"limit must be a positive number, received {describe(limit)}")
    return limit


def _filter(where: dict[str, Any] | None) -> Where | None:
    if where is None:
        return None
    try:
        return parse_where(where)
    except InvalidWhere as error:
        raise InvalidInput(str(error)) from None
