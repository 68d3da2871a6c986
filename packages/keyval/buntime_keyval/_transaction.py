"""Optimistic transactions: reads are remembered, writes collected, and one commit checks both."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Never, TypeVar, overload

from buntime_keyval._calls.atomic import (
    NOT_GIVEN,
    AtomicBuilder,
    MutationKey,
    contents_of,
)
from buntime_keyval._calls.keys import Entry
from buntime_keyval._calls.stored import StoreKey, StoreOf
from buntime_keyval._entries import is_many
from buntime_keyval._errors import TransactionConflict
from buntime_keyval._results import CommitResult
from buntime_keyval.wire import Duration, InvalidInput, Key, KeyLike, encode_key, parse_duration
from buntime_keyval.wire.commits import Contents
from buntime_keyval.wire.python_keys import checked_key, checked_keys

T = TypeVar("T")


class Work:
    """The work of a transaction.

    A key that was read once gives the same entry again; writes are buffered, and not seen by
    reads, until the commit, which fails if any key that was read has changed.
    """

    def __init__(self) -> None:
        self._read: dict[bytes, Entry] = {}
        self._atomic: AtomicBuilder[MutationKey] = AtomicBuilder()
        self._ended = False
        self.result: CommitResult | None = None
        """How the commit ended, once it has."""

    @property
    def versionstamp(self) -> str | None:
        """That of the commit; None without one."""
        return None if self.result is None else self.result.versionstamp

    @property
    def read_count(self) -> int:
        """Distinct keys read so far."""
        return len(self._read)

    @property
    def write_count(self) -> int:
        """Mutations buffered so far."""
        return self._atomic.size

    @overload
    def set(
        self,
        key: MutationKey,
        value: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None: ...
    @overload
    def set(
        self,
        store: StoreOf[T],
        key: StoreKey,
        value: T,
        /,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None: ...
    def set(
        self,
        key: Any,
        value: Any,
        stored: Any = NOT_GIVEN,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        **unknown: Never,
    ) -> None:
        """Store a value at the commit, at a key or in a typed store: `set(store, key, value)`.

        Options as in `Kv.set`.
        """
        self._buffer().set(
            key,
            value,
            stored,
            expires_in=expires_in,
            expires_at=expires_at,
            metadata=metadata,
            type=type,
            **unknown,
        )

    def check_lock(self, name: str, token: str) -> None:
        """Require at the commit that a lock is held under this token."""
        self._buffer().check_lock(name, token)

    def delete(self, key: MutationKey) -> None:
        """Delete exactly this key at the commit."""
        self._buffer().delete(key)

    def sum(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None:
        """Add to a number at the commit."""
        self._buffer().sum(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata, type=type
        )

    def max(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None:
        """Raise a number to at least this one at the commit."""
        self._buffer().max(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata, type=type
        )

    def min(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None:
        """Lower a number to at most this one at the commit."""
        self._buffer().min(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata, type=type
        )

    def append(
        self,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None:
        """Add items behind those of a list at the commit."""
        self._buffer().append(
            key, items, expires_in=expires_in, expires_at=expires_at, metadata=metadata, type=type
        )

    def prepend(
        self,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None:
        """Add items in front of those of a list at the commit."""
        self._buffer().prepend(
            key, items, expires_in=expires_in, expires_at=expires_at, metadata=metadata, type=type
        )

    def patch(
        self,
        key: MutationKey,
        patch: Any,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> None:
        """Merge a JSON Merge Patch into a value at the commit."""
        self._buffer().patch(
            key, patch, expires_in=expires_in, expires_at=expires_at, metadata=metadata, type=type
        )

    def touch(
        self,
        key: MutationKey,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
    ) -> None:
        """Give what is there another life at the commit, and leave the rest of it."""
        self._buffer().touch(key, expires_in=expires_in, expires_at=expires_at)

    def persist(self, key: MutationKey) -> None:
        """Let what is there live for ever from the commit on."""
        self._buffer().persist(key)

    def enqueue(
        self,
        value: Any,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
        queue: str = "",
        priority: int = 0,
        id: str | None = None,
    ) -> None:
        """Send a message at the commit."""
        self._buffer().enqueue(
            value,
            delay=delay,
            backoff_schedule=backoff_schedule,
            keys_if_undelivered=keys_if_undelivered,
            queue=queue,
            priority=priority,
            id=id,
        )

    def _collected(self) -> Contents:
        """What is to be written, to add to it."""
        return contents_of(self._buffer())

    def _buffer(self) -> AtomicBuilder[MutationKey]:
        self._refuse_ended()
        return self._atomic

    def _refuse_ended(self) -> None:
        if self._ended:
            raise RuntimeError("Transaction already committed")

    def _wanted(self, key: Any) -> tuple[list[Key], list[Key]]:
        """The keys of a read, and those of them that were not read before."""
        self._refuse_ended()
        keys = checked_keys(key) if is_many(key) else [checked_key(key)]
        unread = {encode_key(item): item for item in keys}
        return keys, [item for code, item in unread.items() if code not in self._read]

    def _entries(self, key: Any, keys: list[Key], fresh: list[Entry]) -> Entry | list[Entry]:
        for entry in fresh:
            self._read.setdefault(encode_key(entry.key), entry)
        entries = [self._read[encode_key(item)] for item in keys]
        return entries if is_many(key) else entries[0]

    def _ending(self) -> AtomicBuilder[MutationKey]:
        """All that is to be committed; nothing can be added any more."""
        self._refuse_ended()
        self._ended = True
        return self._atomic.check(*self._read.values())

    def _finish(self, result: CommitResult) -> None:
        self.result = result
        if not result.ok:
            raise TransactionConflict(
                "The transaction conflicts with other writes; nothing was written"
            )


class Pauses:
    """The pauses before further attempts of a transaction: doubling, with as much again random."""

    def __init__(self, max_retries: int, retry_delay: Duration) -> None:
        if isinstance(max_retries, bool) or not isinstance(max_retries, int) or max_retries < 0:
            raise InvalidInput(f"max_retries must not be negative, received {max_retries!r}")
        self._delay = parse_duration(retry_delay) / 1000
        if self._delay < 0:
            raise InvalidInput(f"retry_delay must not be negative, received {retry_delay!r}")
        self.attempts = max_retries + 1

    def before(self, attempt: int) -> float:
        """Seconds to wait before an attempt; the first is 0."""
        if not attempt:
            return 0.0
        jitter = random.uniform(0, self._delay)  # noqa: S311 - spreads retries, no secret
        return float(self._delay * 2 ** (attempt - 1) + jitter)
