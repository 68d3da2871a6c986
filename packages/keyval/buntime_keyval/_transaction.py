"""Optimistic transactions: reads are remembered, writes collected, and one commit checks both."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar, overload

from buntime_keyval._atomic import AsyncSource, Source
from buntime_keyval._calls.atomic import AtomicBuilder, MutationKey
from buntime_keyval._calls.keys import Entry
from buntime_keyval._entries import is_many
from buntime_keyval._errors import TransactionConflict
from buntime_keyval._results import CommitResult, KvEntry, TransactionResult
from buntime_keyval.wire import Duration, InvalidInput, Key, KeyLike, encode_key, parse_duration
from buntime_keyval.wire.python_keys import checked_key, checked_keys

T = TypeVar("T")


class _Transaction:
    """What both kinds of transactions share.

    A key that was read once gives the same entry again; writes are buffered, and not seen by
    reads, until the commit, which fails if any key that was read has changed.
    """

    def __init__(self) -> None:
        self._read: dict[bytes, Entry] = {}
        self._atomic = AtomicBuilder()
        self._ended = False
        self.result: CommitResult | None = None
        """How the commit ended, once it has."""

    @property
    def read_count(self) -> int:
        """Distinct keys read so far."""
        return len(self._read)

    @property
    def write_count(self) -> int:
        """Mutations buffered so far."""
        return self._atomic.size

    def set(
        self,
        key: MutationKey,
        value: Any,
        *,
        expires_in: Duration | None = None,
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

    def sum(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Add to a number at the commit."""
        self._buffer().sum(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata
        )

    def max(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Raise a number to at least this one at the commit."""
        self._buffer().max(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata
        )

    def min(
        self,
        key: MutationKey,
        value: int | str,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Lower a number to at most this one at the commit."""
        self._buffer().min(
            key, value, expires_in=expires_in, expires_at=expires_at, metadata=metadata
        )

    def append(
        self,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Add items behind those of a list at the commit."""
        self._buffer().append(
            key, items, expires_in=expires_in, expires_at=expires_at, metadata=metadata
        )

    def prepend(
        self,
        key: MutationKey,
        items: Sequence[Any],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
    ) -> None:
        """Add items in front of those of a list at the commit."""
        self._buffer().prepend(
            key, items, expires_in=expires_in, expires_at=expires_at, metadata=metadata
        )

    def enqueue(
        self,
        value: Any,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
    ) -> None:
        """Send a message at the commit."""
        self._buffer().enqueue(
            value,
            delay=delay,
            backoff_schedule=backoff_schedule,
            keys_if_undelivered=keys_if_undelivered,
        )

    def _buffer(self) -> AtomicBuilder:
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

    def _entries(self, key: Any, keys: list[Key], fresh: list[Entry]) -> Any:
        for entry in fresh:
            self._read.setdefault(encode_key(entry.key), entry)
        entries = [self._read[encode_key(item)] for item in keys]
        return entries if is_many(key) else entries[0]

    def _ending(self) -> AtomicBuilder:
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


class AsyncTransaction(_Transaction):
    """A transaction of `AsyncKv`; leaving its `async with` block commits it.

    Raises `TransactionConflict` then if something that it read has changed. An exception in the
    block means that nothing is written.
    """

    def __init__(self, source: AsyncSource) -> None:
        super().__init__()
        self._source = source

    @overload
    async def get(  # type: ignore[overload-overlap] # a str is a key part and a sequence of them
        self, key: KeyLike
    ) -> KvEntry[Any]: ...
    @overload
    async def get(self, key: Sequence[KeyLike]) -> list[KvEntry[Any]]: ...
    async def get(self, key: Any) -> Any:
        """One entry, or, for a list of keys, one for each in their order."""
        if is_many(key) and not key:
            return []
        keys, unread = self._wanted(key)
        return self._entries(key, keys, await self._source.read(unread) if unread else [])

    async def __aenter__(self) -> AsyncTransaction:
        self._refuse_ended()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish(await self._source.commit(self._ending()))
        self._ended = True


class Transaction(_Transaction):
    """A transaction of `Kv`; leaving its `with` block commits it.

    Raises `TransactionConflict` then if something that it read has changed. An exception in the
    block means that nothing is written.
    """

    def __init__(self, source: Source) -> None:
        super().__init__()
        self._source = source

    @overload
    def get(  # type: ignore[overload-overlap] # a str is a key part and a sequence of them
        self, key: KeyLike
    ) -> KvEntry[Any]: ...
    @overload
    def get(self, key: Sequence[KeyLike]) -> list[KvEntry[Any]]: ...
    def get(self, key: Any) -> Any:
        """One entry, or, for a list of keys, one for each in their order."""
        if is_many(key) and not key:
            return []
        keys, unread = self._wanted(key)
        return self._entries(key, keys, self._source.read(unread) if unread else [])

    def __enter__(self) -> Transaction:
        self._refuse_ended()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._finish(self._source.commit(self._ending()))
        self._ended = True


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


async def run_async(
    source: AsyncSource, fn: Callable[[AsyncTransaction], Awaitable[T]], pauses: Pauses
) -> TransactionResult[T]:
    """Run `fn` and commit, again after a conflict."""
    for attempt in range(pauses.attempts):
        if attempt:
            await asyncio.sleep(pauses.before(attempt))
        transaction = AsyncTransaction(source)
        try:
            async with transaction:
                value = await fn(transaction)
        except TransactionConflict:
            if transaction.result is None:
                raise  # of another transaction, inside this one
        else:
            return TransactionResult(True, value, _versionstamp(transaction))
    return TransactionResult(ok=False, error="conflict")


def run_blocking(
    source: Source, fn: Callable[[Transaction], T], pauses: Pauses
) -> TransactionResult[T]:
    """The same, blocking."""
    for attempt in range(pauses.attempts):
        if attempt:
            time.sleep(pauses.before(attempt))
        transaction = Transaction(source)
        try:
            with transaction:
                value = fn(transaction)
        except TransactionConflict:
            if transaction.result is None:
                raise  # of another transaction, inside this one
        else:
            return TransactionResult(True, value, _versionstamp(transaction))
    return TransactionResult(ok=False, error="conflict")


class AsyncAttempt(AsyncTransaction):
    """One attempt of `AsyncKv.attempts`: a conflict ends it quietly unless it is the last."""

    def __init__(self, source: AsyncSource, *, last: bool) -> None:
        super().__init__(source)
        self._last = last

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            await super().__aexit__(kind, *rest)
        except TransactionConflict:
            if self._last:
                raise


class Attempt(Transaction):
    """One attempt of `Kv.attempts`: a conflict ends it quietly unless it is the last."""

    def __init__(self, source: Source, *, last: bool) -> None:
        super().__init__(source)
        self._last = last

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        try:
            super().__exit__(kind, *rest)
        except TransactionConflict:
            if self._last:
                raise


async def attempts_async(source: AsyncSource, pauses: Pauses) -> AsyncIterator[AsyncAttempt]:
    """Transactions until one is committed."""
    for number in range(pauses.attempts):
        if number:
            await asyncio.sleep(pauses.before(number))
        attempt = AsyncAttempt(source, last=number == pauses.attempts - 1)
        yield attempt
        if attempt.result is None:
            raise RuntimeError("Each attempt has to be entered: `async with attempt as tx`")
        if attempt.result.ok:
            return


def attempts_blocking(source: Source, pauses: Pauses) -> Iterator[Attempt]:
    """The same, blocking."""
    for number in range(pauses.attempts):
        if number:
            time.sleep(pauses.before(number))
        attempt = Attempt(source, last=number == pauses.attempts - 1)
        yield attempt
        if attempt.result is None:
            raise RuntimeError("Each attempt has to be entered: `with attempt as tx`")
        if attempt.result.ok:
            return


def _versionstamp(transaction: _Transaction) -> str | None:
    return None if transaction.result is None else transaction.result.versionstamp
