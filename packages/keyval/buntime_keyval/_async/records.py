"""Records over whatever has the methods of `AsyncKv`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar, overload

from buntime_keyval._async.concurrency import sleep
from buntime_keyval._async.kv_core import AsyncKvCore
from buntime_keyval._calls.stream import position
from buntime_keyval._errors import TransactionConflict
from buntime_keyval._records import (
    ALL_TYPES,
    ANY_VERSION,
    UNLIMITED,
    KvRecord,
    RecordChange,
    RecordDeletePrefix,
    RecordDeleteRange,
    RecordMutation,
    RecordPatch,
    RecordPut,
    RecordSpan,
    RecordWrites,
    change_reader,
    checked_page_size,
    checked_version,
    checked_window,
    deletable,
    half_ranged,
    is_record_key,
    named_keys,
    prefixed,
    ranged,
    record_key,
    record_reader,
    selection_of,
    stored,
    type_of,
    typed,
)
from buntime_keyval._results import KvEntry
from buntime_keyval._transaction import Pauses
from buntime_keyval.wire import InvalidInput, Key
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_KEYS_PER_BATCH, MAX_LIMIT

T = TypeVar("T")

Found = list[KvRecord[Any]]
Changes = list[RecordChange[Any]]
Read = list[KvEntry[Any]]
Counts = list[int]

_PAUSES = Pauses(12, 1)


class AsyncRecords:
    """Entries under one text each, with versions, types and times.

    They are the entries whose keys have one part, a text; other entries are invisible here. A new
    record has version 1, and one more after each commit that writes it. Lists are in the order of
    the keys, from `offset` on, with at most `limit` records, -1 for all.
    """

    def __init__(self, kv: AsyncKvCore, *, strict: bool = False) -> None:
        """With `strict`, a write that requires a version also fails where the record is missing."""
        self._kv = kv
        self._strict = strict

    @overload
    async def get(self, key: str, type: type[T]) -> KvRecord[T] | None: ...
    @overload
    async def get(self, key: str, type: None = None) -> KvRecord[Any] | None: ...
    async def get(self, key: str, type: Any = None) -> KvRecord[Any] | None:
        """Return a record, or None if there is none; `type` validates its value."""
        read = record_reader(type)
        entry = await self._kv.get_with_metadata(record_key(key))
        return read(entry) if entry.exists else None

    @overload
    async def get_batch(self, *keys: str, type: type[T]) -> dict[str, KvRecord[T]]: ...
    @overload
    async def get_batch(self, *keys: str, type: None = None) -> dict[str, KvRecord[Any]]: ...
    async def get_batch(self, *keys: str, type: Any = None) -> dict[str, KvRecord[Any]]:
        """The records of several keys, without those that are missing."""
        read = record_reader(type)
        entries = await self._entries([*dict.fromkeys(record_key(key) for key in keys)])
        return {str(entry.key[0]): read(entry) for entry in entries if entry.exists}

    async def get_prefix(
        self, prefix: str, offset: int = 0, limit: int = UNLIMITED, *, type: Any = None
    ) -> Found:
        """The records whose keys begin with the text `prefix`: `user` also finds `users/1`."""
        return await self._records(prefixed(prefix), offset, limit, type)

    async def get_range(
        self, start: str, end: str, offset: int = 0, limit: int = UNLIMITED, *, type: Any = None
    ) -> Found:
        """The records from `start` (inclusive) to `end` (exclusive)."""
        return await self._records(ranged(start, end), offset, limit, type)

    async def get_type(
        self, of_type: str, offset: int = 0, limit: int = UNLIMITED, *, type: Any = None
    ) -> Found:
        """The records that were put with a type, such as the name of their class, or `all`."""
        return await self._records(typed(of_type), offset, limit, type)

    async def list(self, offset: int = 0, limit: int = UNLIMITED, *, type: Any = None) -> Found:
        """All records."""
        return await self._records(RecordSpan(), offset, limit, type)

    def paginator(
        self,
        *,
        prefix: str | None = None,
        start: str | None = None,
        end: str | None = None,
        of_type: str | None = None,
        page_size: int = MAX_LIMIT,
        type: Any = None,
    ) -> AsyncIterator[KvRecord[Any]]:
        """Iterate over the records of a prefix, a range, a type, or all, read `page_size` at a
        time.

        Each page begins behind the last key of the previous one, so that concurrent writes make it
        neither pass over a record nor return one twice. `page_size` is at most 1000.
        """
        given = [prefix is not None, start is not None or end is not None, of_type is not None]
        if sum(given) > 1:
            raise InvalidInput("give only one of prefix, start with end, and of_type")
        selection = half_ranged(start, end)
        if prefix is not None:
            selection = prefixed(prefix)
        elif of_type is not None:
            selection = typed(of_type)
        return self._paginated(selection, checked_page_size(page_size), type)

    async def put(
        self, key: str, value: Any, version: int = ANY_VERSION, *, type: str | None = None
    ) -> None:
        """Write a record; its type is the name of the class of the value unless `type` names it.

        `version` is -1 to write it whatever is there, 0 if there may be none yet, or the version
        that is to be replaced; another one there raises `VersionMismatch`. Of a record that is
        missing every version is right, unless these records are `strict`.
        """
        if checked_version(version) == ANY_VERSION:
            kind = type_of(value) if type is None else type
            await self._kv.set(record_key(key), stored(value), type=kind)
        else:
            await self.mutate_all(RecordPut(key, value, version, type))

    async def patch(self, key: str, patch: Any, version: int = ANY_VERSION) -> None:
        """Merge members into a record (RFC 7396): None removes one, objects are merged in turn.

        A record that is missing is made of `{}`. The type stays. `version` is as in `put`; without
        one the store merges, without waiting for other writers.
        """
        if checked_version(version) == ANY_VERSION:
            await self._kv.patch(record_key(key), stored(patch))
        else:
            await self.mutate_all(RecordPatch(key, patch, version))

    async def delete(self, *keys: str) -> int:
        """Delete records; returns how many there were."""
        named = [*dict.fromkeys(record_key(key) for key in keys)]
        count = 0
        for first in range(0, len(named), MAX_KEYS_PER_BATCH):
            batch = named[first : first + MAX_KEYS_PER_BATCH]
            count += (await self._kv.delete(batch, exact=True)).deleted_count
        return count

    async def delete_prefix(self, prefix: str, offset: int = 0, limit: int = UNLIMITED) -> int:
        """Delete the records that `get_prefix` gives; `*` is all of them, and "" is refused.

        More than 1000 are deleted in several commits; `mutate_all` is one, or none.
        """
        return await self._delete(deletable(prefix), offset, limit)

    async def delete_range(
        self, start: str, end: str, offset: int = 0, limit: int = UNLIMITED
    ) -> int:
        """Delete the records that `get_range` gives; otherwise as `delete_prefix`."""
        return await self._delete(ranged(start, end), offset, limit)

    async def count(self) -> int:
        """The number of all records."""
        return await self._count(RecordSpan())

    async def count_prefix(self, prefix: str) -> int:
        """The number of records whose keys begin with a text."""
        return await self._count(prefixed(prefix))

    async def count_range(self, start: str, end: str) -> int:
        """The number of records from `start` to before `end`."""
        return await self._count(ranged(start, end))

    async def count_type(self, of_type: str) -> int:
        """The number of records of a type."""
        return await self._count(typed(of_type))

    async def mutate_all(self, *mutations: RecordMutation) -> Counts:
        """All mutations in one commit, each after those before it, or none of them.

        The result has the number of records that each has written or deleted. Raises
        `VersionMismatch`, whose `results` are zeros, and `TransactionConflict` if others kept
        changing what it needs.
        """
        if not mutations:
            return []
        named = named_keys(mutations)
        for attempt in range(_PAUSES.attempts):
            await sleep(_PAUSES.before(attempt))
            entries = {entry.key: entry for entry in await self._entries(named)}
            for mutation in mutations:
                if isinstance(mutation, RecordDeletePrefix | RecordDeleteRange):
                    checked_window(mutation.offset, mutation.limit)
                    async for entry in self._selected(selection_of(mutation)):
                        entries.setdefault(entry.key, entry)
            plan = RecordWrites(mutations, entries.values(), strict=self._strict)
            atomic = self._kv.atomic()
            plan.write_to(atomic)
            if (await atomic.commit()).ok:
                return plan.affected
        raise TransactionConflict("others kept changing these records; nothing was written")

    async def stream(
        self, seq: int = 0, limit: int = UNLIMITED, *, of_type: str = ALL_TYPES, type: Any = None
    ) -> Changes:
        """The changes of records from a position (inclusive) on, in the order of their commits.

        They end with the present newest one. With a type, only changes of records that were put
        with it; values are validated if `type` is a type of values. Raises `StreamTrimmed` if
        changes from the position on are not there any more.
        """
        read, kind = change_reader(type), typed(of_type).of_type
        _, most = checked_window(0, limit)
        after = max(0, position("seq", seq) - 1)
        newest = await self._kv.stream.seq()
        found: Changes = []
        while most is None or len(found) < most:
            left = MAX_LIMIT if most is None else most - len(found)
            # Changes of other entries lie between: it is not read by ones for the last one.
            size = min(max(left, DEFAULT_LIMIT), MAX_LIMIT)
            page = await self._kv.stream.read(after, limit=size, type=kind)
            records = [it for it in page.records if it.seq <= newest and is_record_key(it.key)]
            found += [read(it) for it in records[:left]]
            after = page.next
            if after >= newest:
                break
        return found

    async def stream_seq(self) -> int:
        """The position of the newest change of the store; 0 if there never was one."""
        return await self._kv.stream.seq()

    async def stream_trim(self, seq: int) -> int:
        """Remove all changes of the store up to a position but the newest; returns how many."""
        return await self._kv.stream.trim(seq)

    async def _records(self, selection: RecordSpan, offset: int, limit: int, type: Any) -> Found:
        read = record_reader(type)
        window = checked_window(offset, limit)
        return [read(entry) async for entry in self._within(selection, *window)]

    async def _paginated(
        self, selection: RecordSpan, page_size: int, type: Any
    ) -> AsyncIterator[KvRecord[Any]]:
        read = record_reader(type)
        async for entry in self._selected(selection, page_size=page_size):
            yield read(entry)

    async def _count(self, selection: RecordSpan) -> int:
        count = 0
        async for _ in self._selected(selection, values=False):
            count += 1
        return count

    async def _delete(self, selection: RecordSpan, offset: int, limit: int) -> int:
        window = checked_window(offset, limit)
        found = self._within(selection, *window, values=False)
        return await self.delete(*[str(entry.key[0]) async for entry in found])

    async def _entries(self, keys: Sequence[Key]) -> Read:
        entries: Read = []
        for first in range(0, len(keys), MAX_KEYS_PER_BATCH):
            batch = keys[first : first + MAX_KEYS_PER_BATCH]
            entries += await self._kv.get_with_metadata(batch)
        return entries

    async def _within(
        self, selection: RecordSpan, offset: int, limit: int | None, *, values: bool = True
    ) -> AsyncIterator[KvEntry[Any]]:
        """The selected entries from `offset` on."""
        if limit == 0:
            return
        size = MAX_LIMIT if limit is None else min(offset + limit, MAX_LIMIT)
        before = offset
        left = -1 if limit is None else limit
        async for entry in self._selected(selection, page_size=size, values=values):
            if before:
                before -= 1
                continue
            yield entry
            left -= 1
            if not left:
                return

    async def _selected(
        self, selection: RecordSpan, *, page_size: int = MAX_LIMIT, values: bool = True
    ) -> AsyncIterator[KvEntry[Any]]:
        """The entries that are records and selected, with details."""
        if selection.is_empty:
            return
        entries = self._kv.list(
            (),
            start=selection.start,
            end=selection.end,
            type=selection.of_type,
            page_size=page_size,
            details=True,
            values=values,
        )
        async for entry in entries:
            if selection.takes(entry):
                yield entry
