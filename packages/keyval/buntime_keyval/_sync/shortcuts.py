# Made by scripts/unasync from _async/shortcuts.py: change that one.
"""Frequent combinations of reads and commits: counters, caches, lives of entries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Generic, TypeVar

from buntime_keyval._results import CommitResult, KvEntry, KvMissing
from buntime_keyval._sync.concurrency import call
from buntime_keyval._sync.flights import Flights
from buntime_keyval.wire import Duration, InvalidInput, Key
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import Consistency

K = TypeVar("K")
V = TypeVar("V")


class Shortcuts(Generic[K, V]):
    """Methods that are made of `get` and `atomic`, with their keys and values."""

    _flights: Flights

    def atomic(self) -> Any:
        """A builder of checks and mutations that are committed together."""
        raise NotImplementedError  # the client and the store in this process each have one

    def get(self, key: Any, *, default: Any = None, consistency: Consistency = "eventual") -> Any:
        """Return one entry."""
        raise NotImplementedError  # the client and the store in this process each have one

    def _whole_key(self, key: Any) -> Key:
        """The absolute key."""
        return checked_key(key)

    def incr(
        self,
        key: K,
        by: int = 1,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        idempotency_key: str | None = None,
    ) -> int | float:
        """Add an integer to a number, 0 if missing, and return the sum.

        The entry keeps its life unless another one is given. Raises the same errors as
        `atomic().sum`.
        """
        atomic = self.atomic().sum(key, by, expires_in=expires_in, expires_at=expires_at)
        result = atomic.commit(results=True, idempotency_key=idempotency_key)
        number: int | float = result.results[0]
        return number

    def touch(
        self,
        key: K,
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        idempotency_key: str | None = None,
    ) -> bool:
        """Give an entry another life from now on, and leave the rest of it; whether it is there."""
        atomic = self.atomic().touch(key, expires_in=expires_in, expires_at=expires_at)
        result = atomic.commit(results=True, idempotency_key=idempotency_key)
        return bool(result.results[0])

    def persist(self, key: K, *, idempotency_key: str | None = None) -> bool:
        """Let an entry live for ever; whether it is there."""
        atomic = self.atomic().persist(key)
        result = atomic.commit(results=True, idempotency_key=idempotency_key)
        return bool(result.results[0])

    def set_many(
        self,
        entries: Mapping[Any, V] | Iterable[tuple[K, V]],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
        idempotency_key: str | None = None,
    ) -> CommitResult:
        """Store all values of a mapping, or of pairs of key and value, in one commit.

        Options as in `set`, for all of them.
        """
        atomic = self.atomic()
        for key, value in _pairs(entries):
            atomic.set(
                key,
                value,
                expires_in=expires_in,
                expires_at=expires_at,
                metadata=metadata,
                type=type,
            )
        result: CommitResult = atomic.commit(idempotency_key=idempotency_key)
        return result

    def get_and_delete(self, key: K) -> KvEntry[V] | KvMissing[None]:
        """Return the entry of a key, and remove it: of several callers, one gets it."""
        self._whole_key(key)  # refuses several
        while True:
            entry: KvEntry[V] = self.get(key, consistency="strong")
            if not entry.exists or (self.atomic().check(entry).delete(key).commit()).ok:
                return entry

    def get_or_set(
        self,
        key: K,
        make: Callable[[], V | V],
        *,
        expires_in: Duration | None = None,
        expires_at: float | datetime | None = None,
        metadata: Any = None,
        type: str | None = None,
    ) -> KvEntry[V]:
        """Return the entry of a key; if there is none, make one with the result of `make`.

        Of simultaneous callers in this process, one makes the value and the others wait. Of several
        processes each may make one, and all get the value that was stored first. Options as in
        `set`. Exceptions of `make` propagate, and nothing is stored. Raises `InvalidInput` where
        `make` is no function, or itself asks for what is being made, which would wait for ever.
        """
        whole = self._whole_key(key)
        if not callable(make):
            raise InvalidInput(
                "get_or_set takes a function that makes the value, such as `lambda: 9`, and not"
                f" the value: received one of type {make.__class__.__name__}"
            )
        entry: KvEntry[V] = self.get(key)
        if entry.exists:
            return entry
        with self._flights.alone(whole):
            entry = self.get(key)
            while not entry.exists:
                value = call(make)
                atomic = self.atomic().check((key, None))
                result = atomic.set(
                    key,
                    value,
                    expires_in=expires_in,
                    expires_at=expires_at,
                    metadata=metadata,
                    type=type,
                ).commit()
                # As it is read: JSON has no tuples, and the server resolves `now()`.
                entry = self.get(key, consistency="strong")
                if result.ok and not entry.exists:
                    return KvEntry(entry.key, value, result.versionstamp)  # it is over already
            return entry


def _pairs(entries: Any) -> list[tuple[Any, Any]]:
    """Keys with their values. Raises `InvalidInput` unless given a mapping or pairs."""
    pairs = entries.items() if isinstance(entries, Mapping) else entries
    try:
        return [(key, value) for key, value in pairs]
    except (TypeError, ValueError):
        raise InvalidInput(
            f"set_many takes a mapping, or pairs of key and value, received {entries!r:.100}"
        ) from None
