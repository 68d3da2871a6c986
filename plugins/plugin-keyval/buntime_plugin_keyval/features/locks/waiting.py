"""The calls of this process that wait for locks.

Who waits has a place in the line, in the database, so that the order is one over all processes. A
release gives the lock to the first in line in the same commit, and rings; whoever waits in another
process looks then. When a lock ends without a release, any process with somebody in its line gives
it on, at the moment of its end. One task of a process does that for all who wait in it.

A place lasts while its call does. Who is gone before the answer leaves the line, and what was given
in the same moment goes on to the next.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from buntime_database import DatabaseError

from buntime_plugin_keyval.engine.arrival import Arrival
from buntime_plugin_keyval.engine.decisions import Decision, Write
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model.errors import KeyValError
from buntime_plugin_keyval.storage.effects import Effect, NoteStamp
from buntime_plugin_keyval.storage.lock_effects import PassOn, Stay, Withdraw
from buntime_plugin_keyval.storage.locks import HeldLock, read_held

STAY_MS = 10_000
"""How long a place lasts whose call ended and kept it."""

SILENT_MS = 30_000
"""How long a place lasts whose process says nothing of it any more. It may have died: who waited
there asks again, which is answered when another process has been started in its stead."""

REFRESH_SECONDS = 10.0
"""Pause between two words of that kind."""


class LinePlace(NamedTuple):
    """In the line of a lock: all calls of an owner share it."""

    name: str
    owner: str


class LockAttempt(NamedTuple):
    """What came of asking for a lock."""

    stamp: str
    """Of the commit."""
    ends_at: int | None
    """When the lock ends, if the owner has it since, or still; by the clock of the store."""
    is_prolonged: bool
    """Whether the owner had it before, under the token of then."""


class Waiter:
    """One call that waits."""

    __slots__ = ("arrival", "is_alone", "is_gone", "is_over", "lock", "since")

    def __init__(self) -> None:
        self.arrival = Arrival()
        self.since: str | None = None
        """Stamp of the commit that asked, once it is done: the owner did not have it then."""
        self.lock: HeldLock | None = None
        """What was given since; its time may be over."""
        self.is_alone = True
        """Whether no other call of its owner was told of that as well."""
        self.is_gone = False
        """Whether nobody wants the answer any more."""
        self.is_over = False
        """Whether its time is over: it has said itself what becomes of its place."""

    def leave(self) -> None:
        """Nobody wants the answer any more."""
        self.is_gone = True
        self.arrival.tell()


class Waiters:
    """Those who wait for locks of one store."""

    def __init__(self, store: Store, *, foreign_poll_ms: int) -> None:
        self._store = store
        self._foreign_poll_s = foreign_poll_ms / 1000
        self._calls: dict[LinePlace, list[Waiter]] = {}
        self._unwanted: dict[LinePlace, Awaitable[LockAttempt]] = {}
        """What nobody wants the answer of any more, and is not taken back yet; the first of each
        place."""
        self._refresh_at = 0.0
        self._leaving: set[asyncio.Task[None]] = set()
        self.process = uuid.uuid4().hex
        """Names this one, to places that it looks after."""
        self.ended = False
        """Whether this process ends, and nobody may wait any more."""
        self._version: int | None = None
        """Of the data, when it was looked at last."""
        self._due_ms = 0.0
        """When the next lock ends, in the store's time."""
        self.loop = Loop(
            self._step,
            "locks",
            logger=store.logger,
            complaint="Locks are not passed on: %s",
            is_still=self._is_still,
        )

    @property
    def number(self) -> int:
        """How many calls wait."""
        return sum(map(len, self._calls.values()))

    def add(self, place: LinePlace) -> Waiter:
        """A call that begins to wait."""
        waiter = Waiter()
        if self.ended:
            waiter.arrival.tell()
        self._calls.setdefault(place, []).append(waiter)
        return waiter

    def remove(self, place: LinePlace, waiter: Waiter) -> None:
        """It does not wait any more: it is answered, or `withdraw` comes next."""
        waiters = self._calls[place]
        waiters.remove(waiter)
        if not waiters:
            del self._calls[place]

    def is_shared(self, place: LinePlace) -> bool:
        """Whether several calls of this process wait there."""
        return len(self._calls[place]) > 1

    def answered(self, place: LinePlace) -> None:
        """The owner knows what came of it, and of all that it asked before."""
        self._unwanted.pop(place, None)

    def withdraw(self, place: LinePlace, asking: Awaitable[LockAttempt]) -> None:
        """Take back what a call asked for that ended before its answer.

        Where other calls share its place, they take it over.
        """
        first = self._unwanted.setdefault(place, asking)
        if place in self._calls:
            return

        async def leave() -> None:
            with suppress(DatabaseError, KeyValError):  # then it ends by itself
                since = (await first).stamp
                if place in self._calls or self._unwanted.pop(place, None) is None:
                    return  # somebody has come back meanwhile
                own = Withdraw(*place, self.process, since)
                await self._commit([own, NoteStamp(), PassOn([place.name])])
            self.loop.wake()

        task = asyncio.get_running_loop().create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def end(self) -> None:
        """Let everybody who waits know that this process ends."""
        self.ended = True
        for waiters in self._calls.values():
            for waiter in waiters:
                waiter.arrival.tell()

    async def close(self) -> None:
        """End the waiting, and finish what was begun."""
        self.end()
        await self.loop.stop()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _step(self) -> float | None:
        """Tell who has got a lock, and pass on those that nobody has; seconds until the next."""
        if not self._calls:
            return None
        self._version = self._store.data_version()
        names = sorted({place.name for place in self._calls})
        held = await self._look(names)
        free = [name for name in names if name not in held]
        if free:
            await self._commit([NoteStamp(), PassOn(free)])
            held |= await self._look(free)
        if monotonic() >= self._refresh_at:
            # Of those alone who wait: one that was kept and is not taken again is nobody's.
            places = [
                place
                for place, waiters in self._calls.items()
                if not all(waiter.is_over for waiter in waiters)
            ]
            await self._commit([Stay(self.process, places, SILENT_MS)])
            self._refresh_at = monotonic() + REFRESH_SECONDS
        if not self._calls:
            return None
        now_ms = self._store.clock.now()
        self._due_ms = min((it.expires_at for it in held.values()), default=float("inf"))
        soon = min(self._refresh_at - monotonic(), (self._due_ms - now_ms) / 1000)
        return max(0.001, min(self._foreign_poll_s, soon))

    def _is_still(self) -> bool:
        """Whether nobody has committed since the last step, and no lock ends soon."""
        if self._version is None or self._version != self._store.data_version():
            return False
        ends_s = (self._due_ms - self._store.clock.now()) / 1000
        return self._foreign_poll_s < min(self._refresh_at - monotonic(), ends_s)

    async def _look(self, names: Sequence[str]) -> dict[str, HeldLock]:
        """The locks that are held; an owner that waits for one that it was given is told.

        Also where its time is over by now: it was the owner's, whose place in the line is gone.
        """
        found = await read_held(self._store.db, names, 0)
        for lock in found.values():
            waiters = self._calls.get(LinePlace(lock.name, lock.owner), ())
            for waiter in waiters:
                if waiter.since is not None and lock.token >= waiter.since:
                    waiter.lock, waiter.is_alone = lock, len(waiters) == 1
                    waiter.arrival.tell()
        now_ms = self._store.clock.now()
        return {name: lock for name, lock in found.items() if lock.expires_at > now_ms}

    async def _commit(self, effects: Sequence[Effect]) -> None:
        decision = Decision[str](effects, None)
        await self._store.write(Write(lambda _: decision))
