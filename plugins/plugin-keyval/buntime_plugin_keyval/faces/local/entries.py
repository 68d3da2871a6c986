"""Reading and writing entries for Python callers."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any, Never, overload

from buntime_keyval import (
    CommitResult,
    DeleteResult,
    InvalidInput,
    Key,
    KvEntry,
    KvMissing,
    KvPage,
    VacuumResult,
    Where,
)
from buntime_keyval.shared import (
    Selector,
    StoredKey,
    checked_deletion,
    checked_limit,
    is_many,
    merged_at,
    refuse_everything,
    refuse_required,
    selected,
    selecting,
    written_at,
)
from buntime_keyval.wire import (
    Duration,
    KeyLike,
    KeyOrKeys,
    PatternLike,
    decode_key,
    decode_value,
    encode_key,
    encode_pattern,
    encode_value,
    key_to_json,
)
from buntime_keyval.wire.commits import NO_OPTIONS, Mutation
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.python_keys import checked_key, checked_keys
from buntime_keyval.wire.python_options import (
    Consistency,
    entry_options,
    is_strong,
    refuse_unknown,
)
from buntime_keyval.wire.requirements import EntryRequirement, requirement
from buntime_keyval.wire.shapes import PLAIN, Shape

from buntime_plugin_keyval.engine.cursors import continue_at, make_cursor
from buntime_plugin_keyval.engine.once import Once, once_of
from buntime_plugin_keyval.engine.several import (
    behind,
    continue_behind,
    count_several,
    snapshot_of,
)
from buntime_plugin_keyval.faces.local.part import (
    LocalPart,
    filter_of,
    reading,
    text_and_saying,
)
from buntime_plugin_keyval.faces.local.transactions import entry_of, settled_options
from buntime_plugin_keyval.features.expiry.sweeper import vacuum
from buntime_plugin_keyval.model.conditions import Conditions
from buntime_plugin_keyval.model.where import Wanted, wanted_of
from buntime_plugin_keyval.requests.permissions import ADMIN
from buntime_plugin_keyval.storage.entries import read_entries, shaped_json
from buntime_plugin_keyval.storage.ranges import KeyRange, Selectors, descendants, subtree

Entries = list[KvEntry[Any]]


class LocalEntries(LocalPart):
    """One key or many, ranges, pages."""

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
        """One entry, or, for a list of keys, one for each in their order; `[]` for no keys.

        A key that does not exist gives an entry whose value is `default` and whose versionstamp is
        None. `consistency` matters where servers have replicas: a `strong` read sees what other
        hosts have written.
        """
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
        """The same, with the `details` of what exists: its metadata and its times."""
        with reading(consistency):
            if is_many(key):
                return await self._get_with_details(checked_keys(key)) if key else []
            (entry,) = await self._get_with_details([checked_key(key)])
            return entry

    async def has(self, key: KeyLike, *, consistency: Consistency = "eventual") -> bool:
        """Whether a key exists, whatever its value, which is not read."""
        encoded = encode_key(checked_key(key))
        self._permits.read(encoded)
        with reading(consistency):
            return await self._store.size(encoded) is not None

    async def set(
        self,
        key: KeyLike,
        value: Any,
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
        """Store a value, in the place of the one that is there with its life and its metadata.

        `expires_in` is milliseconds or a duration text and wins over `expires_at`, epoch
        milliseconds or an aware datetime; without them it stays for ever. `metadata` is anything
        that a value may be, up to 16 KiB of JSON, and `type` a text that says what kind of entry it
        is. With an `idempotency_key` that was used before, nothing but the result of then is told.

        Raises `PreconditionFailed` if the key is there and is to be created only, if its
        versionstamp is not `if_match`, or its revision not `if_revision` (0: missing).
        """
        if unknown:
            refuse_unknown("set", unknown)
        required = requirement(if_match, if_revision, create_only=create_only)
        if isinstance(key, StoredKey):
            value, expires_in, metadata = written_at(key, value, expires_in, expires_at, metadata)
        checked = checked_key(key)
        encoded = encode_key(checked)
        self._permits.write(encoded)
        now_ms = self._store.clock.wall()
        once = None
        if idempotency_key is None:
            text = encode_value(value, now_ms, placeholders=True)
        else:
            text, said = text_and_saying(value, now_ms, placeholders=True)
            options = (expires_in, expires_at, metadata)
            kind = () if type is None else (type,)
            also = () if required is None else required
            once = once_of(idempotency_key, "set", checked, said, *options, *kind, *also)
        about = entry_options(expires_in, expires_at, metadata, now_ms, type=type)
        if required is not None:
            mutation = Mutation("set", checked, text, about, encoded)
            return await self._write_if(mutation, required, once)
        versionstamp = await self._store.set(encoded, key_to_json(checked), text, about, once)
        return CommitResult(ok=True, versionstamp=versionstamp)

    async def patch(
        self,
        key: KeyLike,
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
        """Merge a JSON Merge Patch (RFC 7396) into a value; a missing key counts as `{}`.

        Dicts are merged, members that are None are removed, and anything else is replaced. Life,
        metadata and type stay unless others are given; options and conditions as in `set`.
        """
        required = requirement(if_match, if_revision, create_only=create_only)
        patch, on_create = merged_at(key, "patch", patch)
        checked = checked_key(key)
        encoded = encode_key(checked)
        self._permits.write(encoded)
        now_ms = self._store.clock.wall()
        once = None
        if idempotency_key is None:
            text = encode_value(patch, now_ms, placeholders=True)
        else:
            text, said = text_and_saying(patch, now_ms, placeholders=True)
            about = (expires_in, expires_at, metadata, type, required)
            also = () if on_create is NO_OPTIONS else (on_create,)
            once = once_of(idempotency_key, "patch", checked, said, *about, *also)
        options = entry_options(expires_in, expires_at, metadata, now_ms, type=type)
        created = settled_options(on_create, now_ms)
        mutation = Mutation("patch", checked, text, options, encoded, created)
        return await self._write_if(mutation, required, once)

    async def delete(
        self,
        key: KeyOrKeys = (),
        *,
        exact: bool = False,
        prefixes: Sequence[KeyLike] | None = None,
        starts_with: KeyLike | None = None,
        pattern: PatternLike | None = None,
        start: KeyLike | None = None,
        end: KeyLike | None = None,
        type: str | None = None,
        limit: int | None = None,
        offset: int = 0,
        where: Where | None = None,
        everything: bool = False,
        if_match: str | None = None,
        if_revision: int | None = None,
        idempotency_key: str | None = None,
    ) -> DeleteResult:
        """Delete a key with all that extend it, or only the key if `exact`; or several keys.

        Without a key, `prefixes` say what to delete, as several keys do, or `starts_with`, or a
        `pattern`, or a `type`, or `start`, inclusive, with `end`, exclusive; these may also narrow
        what is below a key. Of that, in key order, the first `offset` entries stay, and of the
        rest at most `limit` (up to 1000) are deleted. `where` restricts that to entries whose value
        matches. The empty prefix, which is the whole store, has to be confirmed with
        `everything=True`. An
        `idempotency_key`, which is as in `set`, is not for everything. `if_match` and `if_revision`
        are as in `set`, for the entry of one key.
        """
        condition = filter_of(where)
        required = requirement(if_match, if_revision)
        bounds = selecting(
            key,
            prefixes,
            starts_with,
            start,
            end,
            limit,
            offset,
            exact=exact,
            type=type,
            pattern=pattern,
        )
        if required is not None:
            if not key or is_many(key) or where is not None or bounds is not None:
                refuse_required(required)
            return await self._delete_if(key, required, exact, idempotency_key)
        if bounds is not None:
            said = (bounds, limit, condition)
            once = once_of(idempotency_key, "delete selected", *said)
            return await self._delete_selected(bounds, limit, where, once)
        if not key:
            refuse_everything(everything=everything, idempotency_key=idempotency_key)
            self._may_delete(where, ranges=[descendants(b"")])
            count = await self._store.delete_ranges([descendants(b"")], where=condition)
        else:
            keys = checked_keys(key) if is_many(key) else [checked_key(key)]
            encoded = [encode_key(item) for item in keys]
            if exact:
                self._may_delete(where, keys=encoded)
            else:
                self._may_delete(where, ranges=[*map(subtree, encoded)])
            once = once_of(idempotency_key, "delete", encoded, exact, condition)
            count = await self._store.delete(encoded, exact=exact, where=condition, once=once)
        return DeleteResult(count)

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
        """The entries below a prefix in key order, `start` inclusive, `end` exclusive.

        In the place of the prefix there may be several `prefixes`, or `starts_with`, a key whose
        last part is the beginning of a text: `["user"]` is the beginning of `["users", 1]`; or a
        `pattern` with `ANY` for parts that may be any, which means keys of as many parts:
        `["users", ANY, "name"]`. With a `type` only entries of that. The first `offset` entries are
        passed over, each of which costs what reading its key costs.

        Without `limit` all of them, read `page_size` (at most 1000) at a time, each page as it is
        when it is read, or with `snapshot` all as they are at the first one; that raises
        `SnapshotGone` where it cannot be had any more. With `details` they have their metadata
        and times, without `values` None for a value. `consistency` is as in `get`; a snapshot is
        always of the newest state.
        """
        is_strong(consistency)
        shape = Shape(values, details)
        bounds = selected(prefix, prefixes, starts_with, start, end, offset, type, pattern)
        ranges = ranges_of(bounds).below()
        self._permits.read_range(*ranges)
        condition = wanted_of_call(bounds, where)
        left = None if limit is None else checked_limit(limit)
        page = min(checked_limit(page_size), MAX_LIMIT)
        if snapshot:
            keys, wanted = snapshot_of(ranges, offset, condition)
            cursor: str | None = None
            while left is None or left > 0:
                size = page if left is None else min(left, page)
                found = await self._service.snapshots.page(
                    keys, limit=size, cursor=cursor, reverse=reverse, where=wanted, shape=shape
                )
                for entry in read_entries(found.entries):
                    yield entry
                cursor = found.cursor
                if cursor is None:
                    return
                left = None if left is None else left - size
            return
        with reading(consistency):  # not around a yield: it is for this task alone
            ranges = await behind(self._store, ranges, offset, reverse=reverse, where=condition)
        while ranges and (left is None or left > 0):
            size = page if left is None else min(left, page)
            with reading(consistency):
                entries = await self._read(ranges, size, reverse, condition, shape)
            for entry in entries:
                yield entry
            if len(entries) < size:
                return
            ranges = continue_behind(ranges, encode_key(entries[-1].key), reverse=reverse)
            left = None if left is None else left - size

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
        """Number of entries below a prefix, at most `limit`; `consistency` is as in `get`.

        Further selectors are as in `list`.
        """
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
        """One page (at most 1000) of the entries below a prefix; `cursor` is of the page before.

        Selectors, `details`, `values` and `consistency` are as in `list`; `offset` is for the
        first page, and a snapshot has one prefix, no pattern and no offset. With `snapshot`, of
        every page, all of them are as they were at the first one, or raise `SnapshotGone`.
        """
        is_strong(consistency)
        size = min(checked_limit(limit), MAX_LIMIT)
        bounds = selected(prefix, prefixes, starts_with, start, end, offset, type, pattern)
        below = ranges_of(bounds).below()
        condition = wanted_of_call(bounds, where)
        if offset and cursor:
            raise InvalidInput("offset is for the first page: the cursor says where this begins")
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
            return KvPage(read_entries(found.entries), found.cursor, more)
        ranges = [continue_at(keys, cursor, reverse=reverse) for keys in below]
        shape = Shape(values, details)
        with reading(consistency):
            ranges = await behind(self._store, ranges, offset, reverse=reverse, where=condition)
            entries = await self._read(ranges, size + 1, reverse, condition, shape)
        has_more = len(entries) > size
        del entries[size:]
        last = make_cursor(encode_key(entries[-1].key)) if has_more else None
        return KvPage(entries, last, has_more)

    async def vacuum(self, *, limit: int | None = None) -> VacuumResult:
        """Remove what has expired now, all of it or at most `limit` entries.

        That happens by itself too; it is for who wants the room, or the events, at once.
        """
        self._permits.need(ADMIN)
        most = sys.maxsize if limit is None else checked_limit(limit)
        return VacuumResult(*await vacuum(self._store, most))

    async def _delete_if(
        self, key: Any, required: EntryRequirement, exact: bool, idempotency_key: str | None
    ) -> DeleteResult:
        code = encode_key(checked_key(key))
        self._permits.read(code)
        if exact:
            self._permits.write(code)
        else:
            self._permits.write_range(subtree(code))
        once = once_of(idempotency_key, "delete", code, exact, required)
        conditions = _conditions(required)
        return DeleteResult(await self._store.delete_if(code, conditions, exact=exact, once=once))

    async def _write_if(
        self, mutation: Mutation, required: EntryRequirement | None, once: Once | None
    ) -> CommitResult:
        """Write, raising `PreconditionFailed` unless what is required is so."""
        code = encode_key(mutation.resolved_key(""))
        conditions = []
        if required is not None:
            self._permits.read(code)  # whether it is so tells of the entry
            conditions.append((code, _conditions(required)))
        committed = await self._store.commit((), [mutation], once=once, required=conditions)
        return CommitResult(
            ok=True, versionstamp=None if committed is None else committed.versionstamp
        )

    def _may_delete(
        self,
        where: object,
        *,
        keys: Sequence[bytes] = (),
        ranges: Sequence[KeyRange] = (),
    ) -> None:
        """Raise `PermissionDenied` unless that may be deleted.

        What a filter deletes, and what it leaves, tells of the values.
        """
        self._permits.write(*keys)
        self._permits.write_range(*ranges)
        if where is not None:
            self._permits.read(*keys)
            self._permits.read_range(*ranges)

    async def _delete_selected(
        self, bounds: Selector, limit: int | None, where: Where | None, once: Once | None
    ) -> DeleteResult:
        ranges = ranges_of(bounds).at_and_below()
        condition = wanted_of_call(bounds, where)
        self._may_delete(condition, ranges=ranges)
        if bounds.offset or limit is not None:
            self._permits.read_range(*ranges)  # what stays in front tells of keys
        most = None if limit is None else checked_deletion(limit)
        rest = await behind(self._store, ranges, bounds.offset, where=condition)
        return DeleteResult(
            await self._store.delete_ranges(rest, limit=most, where=condition, once=once)
        )

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
            if shape == PLAIN:
                rows = await self._store.list_rows(keys, limit=left, reverse=reverse, where=where)
                found += [_entry(row) for row in rows]
            else:
                text = await self._store.list_json(
                    keys, limit=left, reverse=reverse, where=where, shape=shape
                )
                found += read_entries(text)
        return found

    async def _get_with_details(self, keys: Sequence[Key]) -> Entries:
        encoded = [encode_key(key) for key in keys]
        self._permits.read(*encoded)
        shape = Shape(details=True)
        found = await self._store.get_many_json(encoded, shape)
        return read_entries(",".join(shaped_json(keys, encoded, found, shape)))

    async def _get_many(self, raw: Sequence[KeyLike]) -> Entries:
        if not raw:
            return []
        keys = checked_keys(raw)
        encoded = [encode_key(key) for key in keys]
        self._permits.read(*encoded)
        rows = await self._store.get_many(encoded)
        return [entry_of(key, rows.get(code)) for key, code in zip(keys, encoded, strict=True)]


def _entry(row: tuple[bytes, str, str]) -> KvEntry[Any]:
    key, value, versionstamp = row
    return KvEntry(decode_key(key), decode_value(value), versionstamp)


def _conditions(required: EntryRequirement) -> Conditions:
    stamp, revision = required
    return Conditions(None if stamp is None else frozenset((stamp,)), None, revision)


def ranges_of(keys: Selector) -> Selectors:
    """The encoded selectors of a call."""
    return Selectors(
        encode_key(keys.prefix),
        None if keys.prefixes is None else [encode_key(key) for key in keys.prefixes],
        None if keys.starts_with is None else encode_key(keys.starts_with),
        None if keys.start is None else encode_key(keys.start),
        None if keys.end is None else encode_key(keys.end),
        None if keys.pattern is None else encode_pattern(keys.pattern),
    )


def wanted_of_call(keys: Selector, where: Where | None) -> Wanted | None:
    """What entries have to be, beside where their keys are."""
    pattern = None if keys.pattern is None else encode_pattern(keys.pattern)
    return wanted_of(filter_of(where), keys.type, pattern)
