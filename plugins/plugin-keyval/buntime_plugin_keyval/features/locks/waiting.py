"""The calls of this process that wait for locks.

Each waiting owner has a place in line, in the database, so that there is one order across all
processes. A release gives the lock to the first in line in the same commit and signals the other
processes, which then look. When a lock ends without a release, any process with a call in its line
passes it on at that moment. One task per process does this for all of its calls.

A place lasts as long as its call. A call whose client has gone before the answer leaves the line,
and a lock that was given to it at that moment is passed on.
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
from buntime_plugin_keyval.engine.rest import Rest
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model.errors import KeyValError
from buntime_plugin_keyval.storage.effects import Effect, NoteStamp
from buntime_plugin_keyval.storage.lock_effects import PassOn, Stay, Withdraw
from buntime_plugin_keyval.storage.locks import HeldLock, read_held

STAY_MS = 10_000
"""How long a place is kept after its call ended, if the call asked for that."""

SILENT_MS = 30_000
"""How long a place lasts that its process no longer renews. The process may have died: its clients
ask again once another one has been started in its stead."""

REFRESH_SECONDS = 10.0
"""Pause between two renewals of the places of this process."""


class LinePlace(NamedTuple):
    """A place in the line of a lock, shared by all calls of an owner."""

    name: str
    owner: str


class LockAttempt(NamedTuple):
    """The result of a commit that asked for a lock."""

    stamp: str
    """The versionstamp of the commit."""
    ends_at: int | None
    """When the lock ends, in the store's time; None if the owner does not have it."""
    is_prolonged: bool
    """Whether the owner had it before; its token is the one it had then."""


class Waiter:
    """One call that waits."""

    __slots__ = ("arrival", "is_alone", "is_gone", "is_over", "lock", "since")

    def __init__(self) -> None:
        self.arrival = Arrival()
        self.since: str | None = None
        """Stamp of the commit that asked, once it is done and did not give the lock."""
        self.lock: HeldLock | None = None
        """The lock that was given since; its time may be over."""
        self.is_alone = True
        """Whether no other call of the same owner was told of that lock."""
        self.is_gone = False
        """Whether the client has gone, and the answer is not wanted any more."""
        self.is_over = False
        """Whether its wait is over: it has kept or left its place by itself."""

    def leave(self) -> None:
        """Note that the client has gone, and end the wait."""
        self.is_gone = True
        self.arrival.tell()


class Waiters:
    """All calls of this process that wait for locks of one store."""

    def __init__(self, store: Store, *, foreign_poll_ms: int) -> None:
        self._store = store
        self._foreign_poll_s = foreign_poll_ms / 1000
        self._calls: dict[LinePlace, list[Waiter]] = {}
        self._unwanted: dict[LinePlace, Awaitable[LockAttempt]] = {}
        """Commits whose answers are not wanted any more and that are not undone yet; the first one
        of each place."""
        self._refresh_at = 0.0
        self._leaving: set[asyncio.Task[None]] = set()
        self.process = uuid.uuid4().hex
        """The id of this process, by which it marks the places that it renews."""
        self.ended = False
        """Whether this process ends, so that no call may wait any more."""
        self._version: int | None = None
        """The version of the data when the locks were last read."""
        self._due_ms = 0.0
        """When the next lock ends, in the store's time."""
        self.loop = Loop(
            self._step,
            "locks",
            logger=store.logger,
            complaint="Locks are not passed on: %s",
            is_still=self._is_still,
            rest=Rest(store.when_written, self._due_in),
        )

    @property
    def number(self) -> int:
        """The number of calls that wait."""
        return sum(map(len, self._calls.values()))

    def add(self, place: LinePlace) -> Waiter:
        """Register a call that begins to wait."""
        waiter = Waiter()
        if self.ended:
            waiter.arrival.tell()
        self._calls.setdefault(place, []).append(waiter)
        return waiter

    def remove(self, place: LinePlace, waiter: Waiter) -> None:
        """Remove a call that has ended; `answered` or `withdraw` is called next."""
        waiters = self._calls[place]
        waiters.remove(waiter)
        if not waiters:
            del self._calls[place]

    def is_shared(self, place: LinePlace) -> bool:
        """Whether several calls of this process share a place."""
        return len(self._calls[place]) > 1

    def answered(self, place: LinePlace) -> None:
        """Note that the owner has its answer, which covers all that it asked before."""
        self._unwanted.pop(place, None)

    def withdraw(self, place: LinePlace, asking: Awaitable[LockAttempt]) -> None:
        """Undo what a call has asked for that ended before its answer.

        Other calls that share its place take it over.
        """
        first = self._unwanted.setdefault(place, asking)
        if place in self._calls:
            return

        async def leave() -> None:
            with suppress(DatabaseError, KeyValError):  # the place and the lock end by themselves
                since = (await first).stamp
                if place in self._calls or self._unwanted.pop(place, None) is None:
                    return  # another call of the owner has begun, or was answered, meanwhile
                own = Withdraw(*place, self.process, since)
                await self._commit([own, NoteStamp(), PassOn([place.name])])
            self.loop.wake()

        task = asyncio.get_running_loop().create_task(leave())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    def end(self) -> None:
        """Tell all waiting calls that this process ends."""
        self.ended = True
        for waiters in self._calls.values():
            for waiter in waiters:
                waiter.arrival.tell()

    async def close(self) -> None:
        """End all waits, and finish the writes that were begun."""
        self.end()
        await self.loop.stop()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _step(self) -> float | None:
        """Tell calls that have got a lock, and pass on free ones; seconds until the next step."""
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
            # Only places with a waiting call: a kept one ends if its owner does not come back.
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
        """Whether no commit has happened since the last step, and no lock ends soon."""
        if self._version is None or self._version != self._store.data_version():
            return False
        return self._foreign_poll_s < self._due_in()

    def _due_in(self) -> float:
        ends_s = (self._due_ms - self._store.clock.now()) / 1000
        return min(self._refresh_at - monotonic(), ends_s)

    async def _look(self, names: Sequence[str]) -> dict[str, HeldLock]:
        """The locks that are held; tells waiting calls whose owner was given one.

        They are told even if its time is over by now: the owner had it, and its place is gone.
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
