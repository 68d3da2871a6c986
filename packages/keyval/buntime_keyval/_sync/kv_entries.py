# Made by scripts/unasync from _async/kv_entries.py: change that one.
"""The client's methods for entries."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Never, overload

from buntime_keyval._calls import keys as calls
from buntime_keyval._core import consistent
from buntime_keyval._entries import is_many
from buntime_keyval._errors import TooLarge
from buntime_keyval._pages import Pager
from buntime_keyval._results import CommitResult, DeleteResult, KvEntry, KvPage, VacuumResult
from buntime_keyval._selecting import selected, selecting
from buntime_keyval._sync.session import Session
from buntime_keyval._typed import DELETE_BATCH, Progress
from buntime_keyval._vacuum import Vacuum
from buntime_keyval._where import Where
from buntime_keyval.wire import Duration, Key, KeyLike, KeyOrKeys, PatternLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_KEYS_PER_BATCH, MAX_LIMIT
from buntime_keyval.wire.python_options import Consistency, refuse_unknown
from buntime_keyval.wire.requirements import requirement
from buntime_keyval.wire.shapes import Shape

Entries = list[KvEntry[Any]]


class KvEntries:
    """Reading, listing, writing and deleting of entries."""

    _session: Session

    @overload
    def get(  # type: ignore[overload-overlap] # a str is a key part and a sequence of them
        self, key: KeyLike, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    def get(
        self, key: Sequence[KeyLike], *, default: Any = None, consistency: Consistency = "eventual"
    ) -> Entries: ...
    def get(
        self, key: Any, *, default: Any = None, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """Return one entry, or, for a list of keys, one for each in their order; `[]` for no keys.

        A key that does not exist gives an entry whose value is `default` and whose versionstamp is
        None. `consistency` matters where servers have replicas: a `strong` read sees all earlier
        writes, an `eventual` one at least those that this client has made or read.
        """
        if is_many(key):
            if not key:
                return []
            entries = self._session.send(consistent(calls.get_many(key), consistency))
            return entries if default is None else [it.or_default(default) for it in entries]
        entry = self._session.send(consistent(calls.get(key), consistency))
        return entry if default is None else entry.or_default(default)

    @overload
    def get_with_metadata(  # type: ignore[overload-overlap] # as above
        self, key: KeyLike, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any]: ...
    @overload
    def get_with_metadata(
        self, key: Sequence[KeyLike], *, consistency: Consistency = "eventual"
    ) -> Entries: ...
    def get_with_metadata(
        self, key: Any, *, consistency: Consistency = "eventual"
    ) -> KvEntry[Any] | Entries:
        """The same, with the `details` of existing entries: their metadata and their times."""
        shape = Shape(details=True)
        if is_many(key):
            if not key:
                return []
            return self._session.send(consistent(calls.get_many(key, shape), consistency))
        return self._session.send(consistent(calls.get(key, shape), consistency))

    def has(self, key: KeyLike, *, consistency: Consistency = "eventual") -> bool:
        """Whether a key exists, whatever its value, which is not sent."""
        return self._session.send(consistent(calls.has(key), consistency))

    def set(
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
        """Store a value, which replaces the present one with its life and its metadata.

        `expires_in` is a duration and wins over `expires_at`, epoch milliseconds or an aware
        datetime; without them it stays for ever. `metadata` is any value of up to 16 KiB of JSON,
        and `type` a text that names the kind of entry. With an `idempotency_key` that was used
        before, nothing is written and the earlier result returned.

        Raises `PreconditionFailed` if the key is there and is to be created only, if its
        versionstamp is not `if_match`, or its revision not `if_revision` (0: missing).
        """
        if unknown:
            refuse_unknown("set", unknown)
        required = requirement(if_match, if_revision, create_only=create_only)
        call = calls.set_value(key, value, expires_in, expires_at, metadata, type, required)
        return self._session.send(call, idempotency_key)

    def patch(
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
        call = calls.patch_value(key, patch, expires_in, expires_at, metadata, type, required)
        return self._session.send(call, idempotency_key)

    def delete(
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
        what is below a key. Of these entries, in key order, the first `offset` stay, and of the
        rest at most `limit` (up to 1000) are deleted. `where` restricts the deletion to entries
        whose value matches. The empty prefix, which is the whole store, has to be confirmed by
        `everything=True`, and is deleted in batches. An `idempotency_key`, which is as in `set`, is
        for one commit, and so not for everything. `if_match` and `if_revision` are as in `set`, for
        the entry of one key.
        """
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
        if bounds is not None:
            calls.refuse_required(required)
            call = calls.delete_selected(bounds, limit=limit, where=where)
            return self._session.send(call, idempotency_key)
        if key:
            call = calls.delete(key, exact=exact, where=where, required=required)
            return self._session.send(call, idempotency_key)
        calls.refuse_required(required)
        calls.refuse_everything(everything=everything, idempotency_key=idempotency_key)
        return sweep(self, (), where=where)

    def list(
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
    ) -> Iterator[KvEntry[Any]]:
        """Iterate over the entries below a prefix in key order, `start` inclusive, `end` exclusive.

        Instead of the prefix there may be several `prefixes`, or `starts_with`, a key whose last
        part is the beginning of a text: `["user"]` is the beginning of `["users", 1]`; or a
        `pattern` with `ANY` for parts that may be any, which means keys of as many parts:
        `["users", ANY, "name"]`. With a `type` only entries of that. The first `offset` entries are
        passed over, each of which costs what reading its key costs.

        Without `limit` all of them, fetched `page_size` (at most 1000) at a time, each page as it
        is when it is fetched, or with `snapshot` all as they are at the first one; that raises
        `SnapshotGone` where it cannot be had any more. With `details` they have their metadata
        and times, without `values` None for a value, which is not sent. `consistency` is as in
        `get`; a snapshot is always of the newest state.
        """
        pager = Pager(
            selected(prefix, prefixes, starts_with, start, end, offset, type, pattern),
            limit=limit,
            reverse=reverse,
            where=where,
            page_size=page_size,
            shape=Shape(values, details),
            snapshot=snapshot,
        )
        while (call := pager.next_call()) is not None:
            try:
                page = self._session.send(consistent(call, consistency))
            except TooLarge:
                if not pager.refused():
                    raise
            else:
                yield from pager.take(page)

    def count(
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
        keys = selected(prefix, prefixes, starts_with, start, end, offset, type, pattern)
        call = calls.count(keys, limit=limit, where=where)
        return self._session.send(consistent(call, consistency))

    def paginate(
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
        """Return one page (at most 1000) of the entries below a prefix; `cursor` is that of the
        previous page.

        Selectors, `details`, `values` and `consistency` are as in `list`; `offset` is for the
        first page, and a snapshot has one prefix, no pattern and no offset. With `snapshot`, of
        every page, all of them are as they were at the first one, or raise `SnapshotGone`.
        """
        shape = Shape(values, details)
        call = calls.paginate(
            selected(prefix, prefixes, starts_with, start, end, offset, type, pattern),
            cursor=cursor,
            limit=limit,
            reverse=reverse,
            where=where,
            shape=shape,
            snapshot=snapshot,
        )
        return self._session.send(consistent(call, consistency))

    def vacuum(self, *, limit: int | None = None) -> VacuumResult:
        """Remove expired entries now, all of them or at most `limit`.

        This also happens by itself; call it to get the room, or the events, at once.
        """
        plan = Vacuum(limit)
        while (call := plan.next_call()) is not None:
            plan.take(self._session.send(call))
        return plan.result


def sweep(
    kv: KvEntries,
    prefix: Key,
    *,
    where: Where | None,
    batch_size: int = DELETE_BATCH,
    on_progress: Progress | None = None,
    include_prefix: bool = False,
) -> DeleteResult:
    """Delete the entries below a prefix in batches, and the prefix itself if it is included."""
    deleted = 0

    def delete(keys: list[Key]) -> None:
        nonlocal deleted
        result = kv.delete(keys, exact=True, where=where)
        deleted += result.deleted_count
        if on_progress is not None:
            on_progress(deleted)

    size = min(calls.checked_limit(batch_size), MAX_KEYS_PER_BATCH)
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
