"""The store as what the transactions and atomic commits of Python callers read and write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from buntime_keyval import CommitResult, Key, KvEntry
from buntime_keyval.shared import AtomicBuilder, Mutation, NewMessage, contents_of
from buntime_keyval.wire import canonical_metadata, canonical_value, decode_value, encode_key
from buntime_keyval.wire.canonical import WHOLE, CanonicalText, canonical_steps

from buntime_plugin_keyval.engine.additions import Addition
from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.queue.part import QueuePart
from buntime_plugin_keyval.model import mutations
from buntime_plugin_keyval.model.messages import make_options
from buntime_plugin_keyval.storage.reads import Row


class LocalSource:
    """`AsyncSource` of this process."""

    def __init__(self, store: Store, queue: QueuePart) -> None:
        self._store = store
        self._queue = queue

    async def read(self, keys: Sequence[Key]) -> list[KvEntry[Any]]:
        """The newest entries of checked keys, in their order; no replica is asked."""
        encoded = [encode_key(key) for key in keys]
        rows = await self._store.get_many(encoded, fresh=True)
        return [entry_of(key, rows.get(code)) for key, code in zip(keys, encoded, strict=True)]

    async def commit(
        self, atomic: AtomicBuilder, idempotency_key: str | None = None
    ) -> CommitResult:
        """Apply all mutations if all checks hold."""
        contents = contents_of(atomic)
        once = once_of(idempotency_key, "atomic", contents)
        checks = [mutations.Check(encode_key(key), stamp) for key, stamp in contents.checks]
        now_ms = self._store.clock.wall()
        changes: list[mutations.Mutation | Addition] = []
        for change in contents.mutations:
            if isinstance(change, NewMessage):
                options = make_options(*change.options)
                value = await self._value(change.value, now_ms)
                changes.append(self._queue.message(value.text, options))
            else:
                changes.append(await self._mutation(change, now_ms))
        committed = await self._store.commit(checks, changes, once=once)
        if committed is None:
            return CommitResult(ok=False)
        return CommitResult(ok=True, versionstamp=committed.versionstamp)

    async def _mutation(self, change: Mutation, now_ms: int) -> mutations.Mutation:
        value: Any = msgspec.UNSET
        if change.value is not None:
            is_number = change.type in mutations.NUMERIC
            value = (
                msgspec.json.decode(change.value)
                if is_number
                else await self._value(change.value, now_ms)
            )
        options = change.options
        metadata = None
        if options.metadata is not None:
            metadata = canonical_metadata(msgspec.json.decode(options.metadata), now_ms)
        return mutations.make_mutation(
            change.type,
            change.key,
            value,
            expires_in=options.expires_in,
            expires_at=options.expires_at,
            metadata=metadata,
            now_ms=now_ms,
        )

    async def _value(self, body: bytes, now_ms: int) -> CanonicalText:
        if len(body) <= WHOLE:
            return CanonicalText(canonical_value(body, now_ms))
        return CanonicalText(await self._store.turns.run(canonical_steps(body, now_ms)))


def entry_of(key: Key, row: Row | None) -> KvEntry[Any]:
    """What a key holds, None where it does not exist."""
    if row is None:
        return KvEntry(key, None, None)
    return KvEntry(key, decode_value(row.value), row.versionstamp)
