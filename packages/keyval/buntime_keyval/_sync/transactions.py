# Made by scripts/unasync from _async/transactions.py: change that one.
"""Transactions of `Kv`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

from buntime_keyval._calls.stored import StoreKey, StoreOf
from buntime_keyval._entries import is_many
from buntime_keyval._errors import TransactionConflict
from buntime_keyval._results import KvEntry, KvMissing, TransactionResult
from buntime_keyval._scoped import ScopedBuilder
from buntime_keyval._sync.atomic import Source
from buntime_keyval._sync.concurrency import sleep
from buntime_keyval._transaction import Pauses, TransactionBuilder
from buntime_keyval._typed import scope_of
from buntime_keyval.wire import KeyLike
from buntime_keyval.wire.commits import Contents

T = TypeVar("T")


class Transaction(TransactionBuilder):
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
    def get(self, key: Any) -> KvEntry[Any] | list[KvEntry[Any]]:
        """Return one entry, or, for a list of keys, one for each in their order."""
        if is_many(key) and not key:
            return []
        keys, unread = self._wanted(key)
        return self._entries(key, keys, self._source.read(unread) if unread else [])

    def of(self, store: StoreOf[T]) -> StoreTransaction[T]:
        """The same transaction for the entries of a typed store, with its keys and its type."""
        return StoreTransaction(self, store)

    def __enter__(self) -> Transaction:
        self._refuse_ended()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._end()
            self._finish(self._source.commit(self))
        self._ended = True


class StoreTransaction(ScopedBuilder[T]):
    """The part of a transaction in a typed store; keys are relative to it.

    Writes are as those of an atomic commit, buffered until the transaction ends.
    """

    def __init__(self, transaction: Transaction, store: StoreOf[T]) -> None:
        super().__init__(transaction._collect(), scope_of(store))
        self._transaction = transaction

    def get(self, key: StoreKey) -> KvEntry[T] | KvMissing[None]:
        """Return one entry; value and versionstamp are None where the key does not exist."""
        return self._scope.typed(self._transaction.get(self._scope.absolute(key)))

    def get_many(self, keys: Sequence[StoreKey]) -> Sequence[KvEntry[T] | KvMissing[None]]:
        """Return one entry for each key, in their order."""
        absolute = self._scope.each_absolute(keys)
        return [self._scope.typed(it) for it in self._transaction.get(absolute)]

    def _collect(self) -> Contents:
        return self._transaction._collect()


def run(source: Source, fn: Callable[[Transaction], T], pauses: Pauses) -> TransactionResult[T]:
    """Run `fn` and commit, again after a conflict."""
    for attempt in range(pauses.attempts):
        if attempt:
            sleep(pauses.before(attempt))
        transaction = Transaction(source)
        try:
            with transaction:
                value = fn(transaction)
        except TransactionConflict:
            if transaction.result is None:
                raise  # of another transaction, inside this one
        else:
            return TransactionResult(True, value, transaction.versionstamp)
    return TransactionResult(ok=False, error="conflict")


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


def attempts(source: Source, pauses: Pauses) -> Iterator[Attempt]:
    """Transactions until one is committed."""
    for number in range(pauses.attempts):
        if number:
            sleep(pauses.before(number))
        attempt = Attempt(source, last=number == pauses.attempts - 1)
        yield attempt
        if attempt.result is None:
            raise RuntimeError("Each attempt has to be entered: `with attempt as tx`")
        if attempt.result.ok:
            return
