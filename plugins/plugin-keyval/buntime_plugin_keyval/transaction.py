"""Optimistic transactions for Python callers."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from buntime_database import DatabaseUnavailable
from buntime_keyval import InvalidInput, KvEntry, TransactionResult
from buntime_keyval.wire import decode_value, encode_key
from buntime_keyval.wire.python_keys import checked_key, checked_keys

from buntime_plugin_keyval.atomic import Atomic, MutationKey
from buntime_plugin_keyval.store import Store

T = TypeVar("T")


class KvTransaction:
    """What the function of a transaction reads and writes.

    A key that was read once gives the same entry again; writes are buffered, and not seen by
    reads, until the commit, which fails if any key that was read has changed.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._read: dict[bytes, KvEntry[Any]] = {}
        self._atomic = Atomic(store)
        self._committed = False

    @property
    def read_count(self) -> int:
        """Distinct keys read so far."""
        return len(self._read)

    @property
    def write_count(self) -> int:
        """Mutations buffered so far."""
        return self._atomic.size

    async def get(self, key: Any) -> Any:
        """One entry, or, for a list of keys, one for each in their order."""
        self._refuse_ended()
        many = isinstance(key, (list, tuple)) and (not key or isinstance(key[0], (list, tuple)))
        if many and not key:
            return []
        keys = checked_keys(key) if many else [checked_key(key)]
        encoded = [encode_key(item) for item in keys]
        missing = [code for code in encoded if code not in self._read]
        if missing:
            rows = await self._store.get_many(missing, fresh=True)
            for item, code in zip(keys, encoded, strict=True):
                row = rows.get(code)
                if code in self._read:
                    continue
                if row is None:
                    self._read[code] = KvEntry(item, None, None)
                else:
                    self._read[code] = KvEntry(item, decode_value(row.value), row.versionstamp)
        entries = [self._read[code] for code in encoded]
        return entries if many else entries[0]

    def set(
        self,
        key: MutationKey,
        value: Any,
        *,
        expires_in: float | str | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Store a value at the commit; options as in `Kv.set`."""
        self._buffer().set(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata
        )

    def delete(self, key: MutationKey) -> None:
        """Delete exactly this key at the commit."""
        self._buffer().delete(key)

    def sum(self, key: MutationKey, value: int | str) -> None:
        """Add to a number at the commit."""
        self._buffer().sum(key, value)

    def max(self, key: MutationKey, value: int | str) -> None:
        """Raise a number to at least this one at the commit."""
        self._buffer().max(key, value)

    def min(self, key: MutationKey, value: int | str) -> None:
        """Lower a number to at most this one at the commit."""
        self._buffer().min(key, value)

    def append(self, key: MutationKey, items: Sequence[Any]) -> None:
        """Add items behind those of a list at the commit."""
        self._buffer().append(key, items)

    def prepend(self, key: MutationKey, items: Sequence[Any]) -> None:
        """Add items in front of those of a list at the commit."""
        self._buffer().prepend(key, items)

    def _buffer(self) -> Atomic:
        self._refuse_ended()
        return self._atomic

    def _refuse_ended(self) -> None:
        if self._committed:
            raise RuntimeError("Transaction already committed")

    async def commit(self) -> str | None:
        """Commit what was buffered: the versionstamp, or None after a conflict."""
        self._refuse_ended()
        self._committed = True
        result = await self._atomic.check(*self._read.values()).commit()
        return result.versionstamp if result.ok else None


async def run_transaction(
    store: Store,
    fn: Callable[[KvTransaction], Awaitable[T]],
    *,
    max_retries: int,
    retry_delay_ms: float,
) -> TransactionResult[T]:
    """Run `fn` and commit, again after a conflict; see `Kv.transaction`."""
    if max_retries < 0 or retry_delay_ms < 0:
        raise InvalidInput("max_retries and retry_delay must not be negative")
    for attempt in range(max_retries + 1):
        if attempt:
            jitter = random.uniform(0, retry_delay_ms)  # noqa: S311 - spreads retries, no secret
            await asyncio.sleep((retry_delay_ms * 2 ** (attempt - 1) + jitter) / 1000)
        transaction = KvTransaction(store)
        try:
            value = await fn(transaction)
            versionstamp = await transaction.commit()
        except DatabaseUnavailable:
            raise
        except Exception as error:  # noqa: BLE001 - the contract: it becomes the result
            return TransactionResult(ok=False, error="error", message=str(error), exception=error)
        if versionstamp is not None:
            return TransactionResult(ok=True, value=value, versionstamp=versionstamp)
    return TransactionResult(ok=False, error="conflict")
