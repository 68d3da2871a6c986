"""Writes with an idempotency key of their caller: done once, however often they are repeated.

The first result is kept in the same commit as the write, and returned again. So a caller without an
answer sends the same again. If two processes get the same write at the same time, both try it, and
the slower one finds the result of the other. Only within a process is it known that a write is
still under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from hashlib import blake2b
from itertools import takewhile
from time import monotonic
from typing import TypeVar
from urllib.parse import quote

import msgspec
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

_OF_NOTHING = blake2b(digest_size=FINGERPRINT_BYTES)
"""To be copied: making a new one takes a third longer."""

LOOK_SECONDS = 0.25
"""Rows after which a process reads the results that others have kept, before it keeps something
itself: so few rows are left to the guards of its commits."""


class Once(msgspec.Struct, eq=False, gc=False):
    """One write of a caller, which may have sent it before."""

    key: str
    """The key, with a mark of its owner."""
    given: str
    """The key as its caller has it."""
    fingerprint: bytes
    """A digest of its whole content."""
    replayed: bool = False
    """Whether the answer was the result of an earlier time."""


def keyed(key: object, request: bytes, owner: str = "") -> Once:
    """A write with a key; `request` is its whole content, which is always the same under one key.

    Each `owner` has keys of its own, so none learns from them what others have done. Raises
    `InvalidInput` for an invalid key.
    """
    given = checked_idempotency_key(key)
    # Callers' keys have no blank, so this one is unique.
    whose = f"{quote(owner, safe='')} {given}" if owner else given
    fingerprint = _OF_NOTHING.copy()
    fingerprint.update(request)
    return Once(whose, given, fingerprint.digest())


def once_of(key: str | None, operation: str, *said: object) -> Once | None:
    """The digest for a Python caller: equal representations mean the same request."""
    return None if key is None else keyed(key, f"{operation} {said!r}".encode())


class Replays:
    """The keyed writes of one store: the places of their results, in memory.

    So a new one costs the database only a part of the row that its commit keeps. A guard of that
    commit finds results that others have kept since this process last looked.
    """

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._places: dict[str, int | Once] = {}
        """By key, the write itself that is not kept yet; about 130 bytes for a key of 36."""
        self._seen = 0
        """The place up to which all that is kept is known."""
        self._is_behind = True
        self._looked = 0.0

    def begin(self, once: Once) -> None:
        """Refuse others with the key until `end`, unless its result is kept. Raises
        `RequestUnderWay`.
        """
        place = self._places.setdefault(once.key, once)
        if place is not once and isinstance(place, Once):
            raise RequestUnderWay

    def end(self, once: Once) -> None:
        """The write is answered, or given up."""
        if self._places.get(once.key) is once:
            del self._places[once.key]

    def is_known(self, once: Once) -> bool:
        """Whether a result was kept under the key, as far as this process knows."""
        return isinstance(self._places.get(once.key), int)

    @property
    def known(self) -> int:
        """Number of keys that this process knows: of kept results, and of writes under way."""
        return len(self._places)

    def known_of(self, writes: Iterable[Once]) -> list[Once]:
        """Those of these writes whose results are kept; all of them were begun."""
        places = self._places
        return [once for once in writes if places.get(once.key) is not once]

    async def look(self) -> int:
        """Read results that others have kept, unless that was just done.

        Returns the place up to which everything is known then. Raises `DatabaseError`.
        """
        if self._is_behind or monotonic() - self._looked >= LOOK_SECONDS:
            await self._catch_up()
        return self._seen

    def fall_behind(self) -> None:
        """Read again before anything is decided: others have kept something."""
        self._is_behind = True

    def kept(self, keys: Sequence[str], place: int | None) -> None:
        """Note that results are kept in the newest row; None if its place is unknown."""
        if place is None:
            self._is_behind = True
            return
        self._places.update(dict.fromkeys(keys, place))
        if place == self._seen + len(keys):
            self._seen = place
        elif place > self._seen:
            self._is_behind = True

    async def read(self, once: Once) -> Kept | None:
        """Read the result under a known key; None if it was forgotten, and then it is begun.

        Raises `IdempotencyKeyReused` if that was of another request, `RequestUnderWay`, and
        `DatabaseError`.
        """
        while isinstance(place := self._places.get(once.key), int):
            found = await replays.find(self._db, place, once.key)
            if found is not None:
                fingerprint, kept = found
                if fingerprint != once.fingerprint:
                    raise IdempotencyKeyReused
                once.replayed = True
                return kept
            if self._places.get(once.key) == place:
                del self._places[once.key]
        self.begin(once)
        return None

    async def find(self, once: Once) -> Kept | None:
        """Read the result under the key, of any process, if there is one; raises as `read`."""
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
        """Run a write of several commits, each of which may be made again, and keep the result.

        `keep` turns the result into JSON values, `recall` turns these back.
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
            known = self._places.items()
            self._places = {key: once for key, once in known if isinstance(once, Once)}
            self._seen = 0
        while self._seen < newest:
            rows = await replays.news(self._db, self._seen)
            for place, keys in rows:
                self._places.update(dict.fromkeys(keys, place))
            self._seen = max(self._seen, rows[-1][0] if rows else newest)
            await asyncio.sleep(0)  # there may be very many, which an embedded engine has at once
        # Those of rows that are gone come first, but for a few that follow later.
        places = self._places
        gone = [*takewhile(lambda key: _is_before(places[key], oldest), places)]
        for key in gone:
            del places[key]
        self._is_behind = False
        self._looked = monotonic()


def _is_before(place: int | Once, oldest: int) -> bool:
    """Whether a result was kept there and is forgotten."""
    return isinstance(place, int) and place < oldest
