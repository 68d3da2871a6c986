"""The builder of atomic commits for Python callers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from buntime_keyval import CommitResult, InvalidInput, KeyPart, KvEntry
from buntime_keyval.wire import (
    Placeholder,
    encode_key,
    encode_metadata,
    encode_value,
)
from buntime_keyval.wire.python_keys import checked_key

from buntime_plugin_keyval.mutations import Check, Mutation, NewMessage, make_mutation
from buntime_plugin_keyval.queue.messages import make_options, new_id
from buntime_plugin_keyval.store import Store

MutationKey = Sequence[KeyPart | Placeholder]


class Atomic:
    """Checks and mutations, collected in order and committed together.

    Each method checks its input at once, raises `InvalidInput`, and returns the builder.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checks: list[Check] = []
        self._mutations: list[Mutation | NewMessage] = []

    @property
    def size(self) -> int:
        """Mutations collected so far."""
        return len(self._mutations)

    def check(self, *entries: KvEntry[Any] | tuple[Sequence[KeyPart], str | None]) -> Atomic:
        """Require that each key still has its versionstamp; None requires that it is missing.

        Takes entries as `get` returned them, or pairs of key and versionstamp.
        """
        for entry in entries:
            if isinstance(entry, KvEntry):
                key, versionstamp = entry.key, entry.versionstamp
            else:
                key, versionstamp = checked_key(entry[0]), entry[1]
            if versionstamp is not None and not isinstance(versionstamp, str):
                raise InvalidInput(f"versionstamp must be a string or None, got {versionstamp!r}")
            self._checks.append(Check(encode_key(key), versionstamp))
        return self

    def set(
        self,
        key: MutationKey,
        value: Any,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> Atomic:
        """Store a value; options as in `Kv.set`."""
        return self._add(
            "set", key, _plain(value, self._store.clock()), expires_in, expires_at, metadata
        )

    def delete(self, key: MutationKey) -> Atomic:
        """Delete exactly this key, not what extends it."""
        return self._add("delete", key, msgspec.UNSET)

    def sum(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> Atomic:
        """Add an integer of any size to a number; a missing key counts as zero.

        Here and below, what is there keeps its life and its metadata unless new ones are given.
        """
        return self._add("sum", key, value, expires_in, expires_at, metadata)

    def max(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> Atomic:
        """Keep the larger of the number that is there and this one."""
        return self._add("max", key, value, expires_in, expires_at, metadata)

    def min(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> Atomic:
        """Keep the smaller of the number that is there and this one."""
        return self._add("min", key, value, expires_in, expires_at, metadata)

    def append(
        self,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> Atomic:
        """Add items behind those of a list; a missing key counts as an empty list."""
        return self._add(
            "append", key, _plain(items, self._store.clock()), expires_in, expires_at, metadata
        )

    def prepend(
        self,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> Atomic:
        """Add items, in their order, in front of those of a list."""
        return self._add(
            "prepend", key, _plain(items, self._store.clock()), expires_in, expires_at, metadata
        )

    def enqueue(
        self,
        value: Any,
        *,
        delay: float | str | None = None,
        backoff_schedule: Sequence[float | str] | None = None,
        keys_if_undelivered: Sequence[Sequence[KeyPart]] | None = None,
    ) -> Atomic:
        """Add a message to the queue; see `KvQueue.enqueue`."""
        options = make_options(delay, backoff_schedule, keys_if_undelivered)
        message = NewMessage(new_id(), _plain(value, self._store.clock()), options)
        self._mutations.append(message)
        return self

    async def commit(self) -> CommitResult:
        """Apply all mutations if all checks hold; `ok` is False, and nothing written, if not.

        Raises `InvalidInput` when a mutation meets a value that it cannot work on.
        """
        committed = await self._store.commit(self._checks, self._mutations)
        if committed is None:
            return CommitResult(ok=False)
        return CommitResult(ok=True, versionstamp=committed.versionstamp)

    def _add(
        self,
        type: str,
        key: MutationKey,
        value: object,
        expires_in: object = None,
        expires_at: object = None,
        metadata: object = None,
    ) -> Atomic:
        mutation = make_mutation(
            type,
            checked_key(key, placeholders=True),
            value,
            expires_in=expires_in,
            expires_at=expires_at,
            metadata=encode_metadata(metadata, self._store.clock()),
        )
        self._mutations.append(mutation)
        return self


def _plain(value: Any, now_ms: int) -> Any:
    """A Python value as decoded JSON, which is what a mutation works on."""
    return msgspec.json.decode(encode_value(value, now_ms))
