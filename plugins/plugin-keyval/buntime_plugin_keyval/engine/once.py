"""Writes that come with a key of their caller's: done once, whoever repeats them.

The first result is kept in the same commit as what the write does, and told again. So whoever
got no answer sends the same once more. Two processes that get the same write at a time both try
it, and the slower one finds the result of the other; only within a process it is known that one
is still under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import takewhile
from time import monotonic
from typing import TypeVar
from urllib.parse import quote

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
from buntime_plugin_keyval.storage.replays import FINGERPRINT_BYTES, Kept

T = TypeVar("T")

LOOK_SECONDS = 0.25
"""After which a process looks for what others have kept, before it keeps something itself: so few
rows are left to the guards of its commits."""

_UNDER_WAY = 0
"""In the place of what is not kept yet."""


class Once:
    """One write of a caller, which may have sent it before."""

    __slots__ = ("fingerprint", "given", "is_under_way", "key", "replayed")

    def __init__(self, key: object, *request: bytes, owner: str = "") -> None:
        """`request` is all that it says: under one key it is always the same.

        Only its last part may hold blanks. The keys of each `owner` are his own: nobody learns
        from them what others have done. Raises `InvalidInput` for what is no key.
        """
        self.given = checked_idempotency_key(key)
        """As its caller has it."""
        # No key has a blank, so it is that of nobody else.
        self.key = f"{quote(owner, safe='')} {self.given}" if owner else self.given
        self.fingerprint = blake2b(b" ".join(request), digest_size=FINGERPRINT_BYTES).digest()
        self.is_under_way = False
        """Whether it is this one for which others with the key are refused."""
        self.replayed = False
        """Whether what was answered is the result of an earlier time."""


def once_of(key: str | None, operation: str, *said: object) -> Once | None:
    """That of a Python caller, which says the same with the same representations."""
    return None if key is None else Once(key, operation.encode(), repr(said).encode())


class Replays:
    """The writes with keys of one store: where the result of each is kept, in memory.

    So a new one costs the database nothing but a part of the row that its commit keeps. What others
    have kept since this process looked last, a guard of that commit finds.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._places: dict[str, int] = {}
        """By key, `_UNDER_WAY` for what is not kept yet; about 130 bytes for a key of 36."""
        self._seen = 0
        """The place up to which all that is kept is known."""
        self._is_behind = True
        self._looked = 0.0

    def begin(self, once: Once) -> None:
        """Refuse others with the key until `end`, unless its result is kept.

        Raises `RequestUnderWay`.
        """
        place = self._places.get(once.key)
        if place is None:
            self._places[once.key] = _UNDER_WAY
            once.is_under_way = True
        elif place == _UNDER_WAY and not once.is_under_way:
            raise RequestUnderWay

    def end(self, once: Once) -> None:
        """It is answered, or given up."""
        if once.is_under_way:
            once.is_under_way = False
            if self._places.get(once.key) == _UNDER_WAY:
                del self._places[once.key]

    def is_known(self, once: Once) -> bool:
        """Whether a result was kept under the key, as far as this process knows."""
        return self._places.get(once.key, _UNDER_WAY) != _UNDER_WAY

    @property
    def known(self) -> int:
        """How many keys this process knows: of what is kept, and of what is under way."""
        return len(self._places)

    def are_new(self, keys: Iterable[str]) -> bool:
        """Whether that is so of none of them."""
        return not any(map(self._places.get, keys))

    async def look(self) -> int:
        """Learn of what others have kept, unless that was just done.

        The place up to which everything is known then. Raises `DatabaseError`.
        """
        if self._is_behind or monotonic() - self._looked >= LOOK_SECONDS:
            await self._catch_up()
        return self._seen

    def fall_behind(self) -> None:
        """Look again before anything is decided: others have kept something."""
        self._is_behind = True

    def kept(self, keys: Sequence[str], place: int | None) -> None:
        """Note that results are kept in the newest row; None where its place was not told."""
        if place is None:
            self._is_behind = True
            return
        self._places.update(dict.fromkeys(keys, place))
        if place == self._seen + len(keys):
            self._seen = place
        elif place > self._seen:
            self._is_behind = True

    async def read(self, once: Once) -> Kept | None:
        """What is kept under a key that is known; None if it is forgotten, and then it is begun.

        Raises `IdempotencyKeyReused` if that was of another request, `RequestUnderWay`, and
        `DatabaseError`.
        """
        place = self._places.get(once.key, _UNDER_WAY)
        while place != _UNDER_WAY:
            found = await replays.find(self._db, place, once.key)
            if found is not None:
                fingerprint, kept = found
                if fingerprint != once.fingerprint:
                    raise IdempotencyKeyReused
                once.replayed = True
                return kept
            if self._places.get(once.key) == place:
                del self._places[once.key]
            place = self._places.get(once.key, _UNDER_WAY)
        self.begin(once)
        return None

    async def find(self, once: Once) -> Kept | None:
        """What was kept under the key by whomever, if anything was; raises as `read`."""
        await self._catch_up()
        return await self.read(once) if self.is_known(once) else None

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
            told = replays.told_text(keep(result))
            keeping = (once.key, once.fingerprint, replays.NO_STAMP, told)
            while True:
                after = await self.look()
                if self.is_known(once):  # another process has just done the same
                    kept = await self.read(once)
                    if kept is not None:
                        return recall(kept)
                try:
                    place = await replays.keep(self._db, keeping, after, self._clock.now())
                except GuardFailed:
                    self.fall_behind()
                except OutcomeUnknown as error:
                    raise outcome_unknown(error) from error
                else:
                    self.kept([once.key], place)
                    return result
        finally:
            self.end(once)

    async def forget(self, *, keep: int, age_ms: int) -> int:
        """Remove some of the results that are older than that or beyond the newest `keep`."""
        since_ms = self._clock.now() - age_ms
        removed = await replays.forget(self._db, keep=keep, since_ms=since_ms)
        if self._places:
            await self._catch_up()
        return removed

    async def _catch_up(self) -> None:
        seen = self._seen
        oldest, newest = await replays.bounds(self._db)
        if newest < seen:  # another history, such as that of an older file
            under_way = [key for key, place in self._places.items() if place == _UNDER_WAY]
            self._places = dict.fromkeys(under_way, _UNDER_WAY)
            self._seen = 0
        while self._seen < newest:
            rows = await replays.news(self._db, self._seen)
            for place, keys in rows:
                self._places.update(dict.fromkeys(keys, place))
            self._seen = max(self._seen, rows[-1][0] if rows else newest)
            await asyncio.sleep(0)  # there may be very many, which an embedded engine has at once
        # Those of rows that are gone come first, but for a few that follow later.
        gone = [*takewhile(lambda key: 0 < self._places[key] < oldest, self._places)]
        for key in gone:
            del self._places[key]
        self._is_behind = False
        self._looked = monotonic()
