"""Setting, changing and deleting entries."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Never

from buntime_keyval import CommitResult, DeleteResult, VacuumResult, Where
from buntime_keyval.shared import (
    Selector,
    StoredKey,
    checked_deletion,
    checked_limit,
    is_many,
    merged_at,
    refuse_everything,
    refuse_required,
    selecting,
    written_at,
)
from buntime_keyval.wire import (
    Duration,
    KeyLike,
    KeyOrKeys,
    PatternLike,
    encode_key,
    encode_value,
    key_to_json,
)
from buntime_keyval.wire.commits import NO_OPTIONS, Mutation
from buntime_keyval.wire.python_keys import checked_key, checked_keys
from buntime_keyval.wire.python_options import entry_options, refuse_unknown
from buntime_keyval.wire.requirements import EntryRequirement, requirement

from buntime_plugin_keyval.engine.once import Once, once_of
from buntime_plugin_keyval.engine.several import behind
from buntime_plugin_keyval.faces.local.part import LocalPart, filter_of, text_and_saying
from buntime_plugin_keyval.faces.local.selectors import ranges_of, wanted_of_call
from buntime_plugin_keyval.faces.local.transactions import settled_options
from buntime_plugin_keyval.features.expiry.sweeper import vacuum
from buntime_plugin_keyval.model.conditions import Conditions
from buntime_plugin_keyval.requests.permissions import ADMIN
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, subtree


class LocalWrites(LocalPart):
    """Setting, changing and deleting entries."""

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
        """Store a value in place of the present one, together with its lifetime and metadata."""
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
        """Merge a JSON Merge Patch (RFC 7396) into a value; a missing key counts as `{}`."""
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
        """Delete a key with all keys below it, or only the key if `exact`; or several keys."""
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

    async def vacuum(self, *, limit: int | None = None) -> VacuumResult:
        """Remove expired entries now, all of them or at most `limit`."""
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
        """Write under conditions. Raises `PreconditionFailed` unless they hold."""
        code = encode_key(mutation.resolved_key(""))
        conditions = []
        if required is not None:
            self._permits.read(code)  # whether conditions hold reveals something of the entry
            conditions.append((code, _conditions(required)))
        committed = await self._store.commit((), [mutation], once=once, required=conditions)
        return CommitResult(
            ok=True, versionstamp=None if committed is None else committed.versionstamp
        )

    def _may_delete(
        self, where: object, *, keys: Sequence[bytes] = (), ranges: Sequence[KeyRange] = ()
    ) -> None:
        """Raise `PermissionDenied` unless the entries may be deleted.

        With a filter they must be readable as well: what it deletes reveals some of the values.
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
            self._permits.read_range(*ranges)  # the entries before an offset reveal keys
        most = None if limit is None else checked_deletion(limit)
        rest = await behind(self._store, ranges, bounds.offset, where=condition)
        return DeleteResult(
            await self._store.delete_ranges(rest, limit=most, where=condition, once=once)
        )


def _conditions(required: EntryRequirement) -> Conditions:
    stamp, revision = required
    return Conditions(None if stamp is None else frozenset((stamp,)), None, revision)
