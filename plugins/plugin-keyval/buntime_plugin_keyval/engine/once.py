"""Writes that come with a key of their caller's: done once, whoever repeats them.

The first result is kept in the same commit as what the write does, and told again. So whoever
got no answer sends the same once more. Two processes that get the same write at a time both try
it, and the slower one finds the result of the other; only within a process it is known that one
is still under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import blake2b
from typing import TypeVar

from buntime_database import GuardFailed, OutcomeUnknown
from buntime_keyval.wire.idempotency import checked_idempotency_key

from buntime_plugin_keyval.model.clock import Clock
from buntime_plugin_keyval.model.errors import (
    IdempotencyKeyReused,
    RequestUnderWay,
    outcome_unknown,
)
from buntime_plugin_keyval.storage import replays
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.replays import Kept

T = TypeVar("T")


class Once:
    """One write of a caller, which may have sent it before."""

    __slots__ = ("fingerprint", "key", "replayed")

    def __init__(self, key: object, *request: bytes) -> None:
        """`request` is all that it says: under one key it is always the same.

        Only its last part may hold blanks. Raises `InvalidInput` for what is no key.
        """
        self.key = checked_idempotency_key(key)
        self.fingerprint = blake2b(b" ".join(request), digest_size=16).digest()
        self.replayed = False
        """Whether what was answered is the result of an earlier time."""


def once_of(key: str | None, operation: str, *said: object) -> Once | None:
    """That of a Python caller, which says the same with the same representations."""
    return None if key is None else Once(key, operation.encode(), repr(said).encode())


class Replays:
    """The writes with keys of one store."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._under_way: set[str] = set()

    def begin(self, once: Once) -> None:
        """Refuse others with the key until `end`. Raises `RequestUnderWay`."""
        if once.key in self._under_way:
            raise RequestUnderWay
        self._under_way.add(once.key)

    def end(self, once: Once) -> None:
        """It is answered, or given up."""
        self._under_way.discard(once.key)

    async def find(self, once: Once) -> Kept | None:
        """What was kept under the key, if anything was.

        Raises `IdempotencyKeyReused` if that was of another request, and `DatabaseError`.
        """
        found = await replays.find(self._db, once.key)
        if found is None:
            return None
        fingerprint, kept = found
        if fingerprint != once.fingerprint:
            raise IdempotencyKeyReused
        once.replayed = True
        return kept

    async def run(
        self,
        once: Once | None,
        work: Callable[[], Awaitable[T]],
        *,
        keep: Callable[[T], object],
        recall: Callable[[Kept], T],
    ) -> T:
        """Do what takes several commits, each of which may be made again, and keep the result.

        `keep` says of the result what JSON can hold, `recall` makes it of what was kept.
        """
        if once is None:
            return await work()
        self.begin(once)
        try:
            kept = await self.find(once)
            if kept is not None:
                return recall(kept)
            result = await work()
            now_ms = self._clock.now()
            steps = replays.keeping(self._db.sql, once.key, once.fingerprint, keep(result), now_ms)
            try:
                await self._db.adapter.batch(steps)
            except GuardFailed:  # another process has just done the same
                kept = await self.find(once)
                return result if kept is None else recall(kept)
            except OutcomeUnknown as error:
                raise outcome_unknown(error) from error
            return result
        finally:
            self.end(once)

    async def forget(self, *, keep: int, age_ms: int) -> int:
        """Remove some of the results that are older than that or beyond the newest `keep`."""
        since_ms = self._clock.now() - age_ms
        return await replays.forget(self._db, keep=keep, since_ms=since_ms)
