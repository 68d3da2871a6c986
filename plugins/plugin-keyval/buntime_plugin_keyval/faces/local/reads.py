"""Reading entries, one at a time and many."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from typing import Any, NamedTuple, overload

from buntime_keyval import InvalidInput, Key, KvEntry, KvMissing, KvPage, Where
from buntime_keyval.shared import checked_limit, is_many, selected
from buntime_keyval.wire import KeyLike, PatternLike, decode_value, encode_key, encode_keys
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_keys
from buntime_keyval.wire.python_options import Consistency, is_strong
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.engine.cursors import continue_at, make_cursor
from buntime_plugin_keyval.engine.several import behind, continue_behind, count_several, snapshot_of
from buntime_plugin_keyval.faces.local.part import LocalPart, reading
from buntime_plugin_keyval.faces.local.selectors import ranges_of, wanted_of_call
from buntime_plugin_keyval.faces.local.transactions import entry_of
from buntime_plugin_keyval.model.where import Wanted
from buntime_plugin_keyval.storage.entries import found_json, read_entries
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.within import joined

Entries = list[KvEntry[Any]]


class _Walk(NamedTuple):
    """What a list goes through, and how."""

    ranges: Sequence[KeyRange]
    offset: int
    reverse: bool
    where: Wanted | None
    shape: Shape
    limit: int | None
    page: int

    def sizes(self) -> Iterator[int]:
        """How many entries each page has at the most, until there are as many as are wanted."""
        left = self.limit
        while left is None or left > 0:
            size = self.page if left is None else min(left, self.page)
            yield size
            left = None if left is None else left - size


class LocalReads(LocalPart):
    """Reads of one key or many, of ranges and pages."""

    @overload
    async def get(  # type: ignore[overload-overlap] # a str is a key part and a sequence of them
        self, key: KeyLike, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    async def get(
        self, key: Sequence[KeyLike], *, default: Any = None, consistency: Consistency = "eventual"
    ) -> Entries: ...
    async def get(
        self, key: Any, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """One entry, or, for a list of keys, one for each in their order; `[]` for no keys."""
        if consistency != "eventual":
            with reading(consistency):
                found_so: KvEntry[Any] | Entries = await self.get(key, default=default)
                return found_so
        if is_many(key):
            entries = await self._get_many(key)
            return entries if default is None else [it.or_default(default) for it in entries]
        checked = checked_key(key)
        encoded = encode_key(checked)
        self._permits.read(encoded)
        found = await self._store.get(encoded)
        if found is None:
            return KvMissing(checked, default, None)
        value, versionstamp = found
        return KvEntry(checked, decode_value(value), versionstamp)

    @overload
    async def get_with_metadata(  # type: ignore[overload-overlap] # as above
        self, key: KeyLike, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    async def get_with_metadata(
        self, key: Sequence[KeyLike], *, consistency: Consistency = "eventual"
    ) -> Entries: ...
    async def get_with_metadata(
        self, key: Any, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """The same, with the `details` of entries that exist: metadata and times."""
        with reading(consistency):
            if is_many(key):
                return await self._get_with_details(checked_keys(key)) if key else []
            (entry,) = await self._get_with_details([checked_key(key)])
            return entry

    async def has(self, key: KeyLike, *, consistency: Consistency = "eventual") -> bool:
        """Whether a key exists; its value is not read."""
        encoded = encode_key(checked_key(key))
        self._permits.read(encoded)
        with reading(consistency):
            return await self._store.size(encoded) is not None

    async def list(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        reverse: bool = False,
        where: Where | None = None,
        page_size: int = MAX_LIMIT,
        details: bool = False,
        values: bool = True,
        snapshot: bool = False,
        consistency: Consistency = "eventual",
    ) -> AsyncIterator[KvEntry[Any]]:
        """The entries below a prefix in key order, `start` inclusive, `end` exclusive."""
        is_strong(consistency)
        bounds = selected(prefix, prefixes, starts_with, start, end, offset, type, pattern)
        ranges = ranges_of(bounds).below()
        self._permits.read_range(*ranges)
        walk = _Walk(
            ranges,
            offset,
            reverse,
            wanted_of_call(bounds, where),
            Shape(values, details),
            None if limit is None else checked_limit(limit),
            min(checked_limit(page_size), MAX_LIMIT),
        )
        pages = self._snapshot_pages(walk) if snapshot else self._pages(walk, consistency)
        async with aclosing(pages):
            async for entries in pages:
                for entry in entries:
                    yield entry

    async def _pages(self, walk: _Walk, consistency: Consistency) -> AsyncGenerator[Entries, None]:
        reverse, where = walk.reverse, walk.where
        with reading(consistency):  # not around a yield: it is for this task alone
            ranges = await behind(
                self._store, walk.ranges, walk.offset, reverse=reverse, where=where
            )
        for size in walk.sizes():
            if not ranges:
                return
            with reading(consistency):
                entries = await self._read(ranges, size, reverse, where, walk.shape)
            last = entries[-1] if len(entries) == size else None
            yield entries
            if last is None:
                return
            ranges = continue_behind(ranges, encode_key(last.key), reverse=reverse)

    async def _snapshot_pages(self, walk: _Walk) -> AsyncGenerator[Entries, None]:
        keys, wanted = snapshot_of(walk.ranges, walk.offset, walk.where)
        cursor: str | None = None
        for size in walk.sizes():
            found = await self._service.snapshots.page(
                keys,
                limit=size,
                cursor=cursor,
                reverse=walk.reverse,
                where=wanted,
                shape=walk.shape,
            )
            yield read_entries(joined(found.entries))
            cursor = found.cursor
            if cursor is None:
                return

    async def count(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        consistency: Consistency = "eventual",
    ) -> int:
        """Number of entries below a prefix, at most `limit`; `consistency` is as in `get`."""
        bounds = selected(prefix, prefixes, starts_with, start, end, offset, type, pattern)
        ranges = ranges_of(bounds).below()
        most = None if limit is None else checked_limit(limit)
        self._permits.read_range(*ranges)
        condition = wanted_of_call(bounds, where)
        with reading(consistency):
            return await count_several(
                self._store, ranges, offset=offset, limit=most, where=condition
            )

    async def paginate(
        self,
        prefix: KeyLike = (),
        *,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
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
    ) -> KvPage[Any]:
        """One page (at most 1000) of the entries below a prefix; `cursor` is of the page before."""
        is_strong(consistency)
        size = min(checked_limit(limit), MAX_LIMIT)
        bounds = selected(prefix, prefixes, starts_with, start, end, offset, type, pattern)
        below = ranges_of(bounds).below()
        condition = wanted_of_call(bounds, where)
        if offset and cursor:
            raise InvalidInput("offset is for the first page: later ones begin at the cursor")
        self._permits.read_range(*below)
        if snapshot:
            keys, wanted = snapshot_of(below, offset, condition)
            found = await self._service.snapshots.page(
                keys,
                limit=size,
                cursor=cursor,
                reverse=reverse,
                where=wanted,
                shape=Shape(values, details),
            )
            more = found.cursor is not None
            return KvPage(read_entries(joined(found.entries)), found.cursor, more)
        ranges = [continue_at(keys, cursor, reverse=reverse) for keys in below]
        shape = Shape(values, details)
        with reading(consistency):
            ranges = await behind(self._store, ranges, offset, reverse=reverse, where=condition)
            entries = await self._read(ranges, size + 1, reverse, condition, shape)
        has_more = len(entries) > size
        del entries[size:]
        last = make_cursor(encode_key(entries[-1].key)) if has_more else None
        return KvPage(entries, last, has_more)

    async def _read(
        self,
        ranges: Sequence[KeyRange],
        limit: int,
        reverse: bool,
        where: Wanted | None,
        shape: Shape,
    ) -> Entries:
        found: Entries = []
        for keys in reversed(ranges) if reverse else ranges:
            left = limit - len(found)
            if not left:
                break
            text = await self._store.list_json(
                keys, limit=left, reverse=reverse, where=where, shape=shape
            )
            found += read_entries(text)
        return found

    async def _get_with_details(self, keys: Sequence[Key]) -> Entries:
        encoded = encode_keys(keys)
        self._permits.read(*encoded)
        shape = Shape(details=True)
        found = await self._store.get_many_json(encoded, shape)
        return read_entries(",".join(found_json(keys, encoded, found, shape)))

    async def _get_many(self, raw: Sequence[KeyLike]) -> Entries:
        if not raw:
            return []
        keys = checked_keys(raw)
        encoded = encode_keys(keys)
        self._permits.read(*encoded)
        rows = await self._store.get_many(encoded)
        return [entry_of(key, rows.get(code)) for key, code in zip(keys, encoded, strict=True)]
