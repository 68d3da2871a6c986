"""Operations on locks, and the waiting for them.

Who waits has a place in the line, in the database, so that the order is one over all processes. A
release gives the lock to the first in line in the same commit, and rings; whoever waits in another
process looks then. When a lock ends without a release, any process with somebody in its line gives
it on, at the moment of its end. One task of a process does that for all who wait in it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from contextlib import suppress
from time import monotonic
from typing import NamedTuple

from buntime_database import DatabaseError, ResultSet

from buntime_plugin_keyval.engine.arrival import Arrival
from buntime_plugin_keyval.engine.decisions import Decision, Settled, Write
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model.errors import KeyValUnavailable, LockHeld, LockLost
from buntime_plugin_keyval.storage.effects import Effect, NoteStamp
from buntime_plugin_keyval.storage.lock_effects import (
    Acquire,
    Enlist,
    ForgetLocks,
    Leave,
    PassOn,
    Release,
    Renew,
    Stay,
)
from buntime_plugin_keyval.storage.locks import HeldLock, Line, list_held, read_held, read_lines
from buntime_plugin_keyval.storage.replays import Kept

STAY_MS = 10_000
"""How long a place lasts whose process says nothing of it any more: it may have died."""

REFRESH_SECONDS = 3.0
"""Pause between two words of that kind."""

KEPT_MS = 3_600_000
"""How long what is over stays in the tables."""


class LockState(NamedTuple):
    """A lock as callers know it. Times are those of the clock on the wall, milliseconds."""

    name: str
    owner: str
    token: str
    acquired_at: int
    expires_at: int
    metadata: str | None
    """JSON."""
    waiting: int = 0
    """How many wait for it."""


class WantedLock(NamedTuple):
    """What somebody asks for."""

    name: str
    owner: str
    duration_ms: int
    metadata: str | None = None


class _Waiter:
    """One call that waits."""

    __slots__ = ("arrival", "lock")

    def __init__(self) -> None:
        self.arrival = Arrival()
        self.lock: HeldLock | None = None


class LockDesk:
    """The locks of one store."""

    def __init__(self, store: Store, *, foreign_poll_ms: int) -> None:
        self._store = store
        self.recorder = store.recorder
        self._process = uuid.uuid4().hex
        self._foreign_poll_s = foreign_poll_ms / 1000
        self._waiting: dict[tuple[str, str], list[_Waiter]] = {}
        """By name and owner, who share a place."""
        self._refresh_at = 0.0
        self._leaving: set[asyncio.Task[None]] = set()
        self._ended = False
        self.loop = Loop(
            self._step, "locks", logger=store.logger, complaint="Locks are not passed on: %s"
        )

    @property
    def waiting(self) -> int:
        """How many calls of this process wait."""
        return sum(map(len, self._waiting.values()))

    @measured("lock_acquire")
    async def acquire(
        self,
        wanted: WantedLock,
        wait_ms: int = 0,
        *,
        keeps_place: bool = False,
        once: Once | None = None,
    ) -> LockState:
        """Take a lock, or prolong it if the owner has it; waits in line for so long.

        With `keeps_place` the place in the line lasts for a while when the time is over, for who
        asks again at once. Raises `LockHeld`.
        """
        if not wait_ms:
            await self._commit([NoteStamp(), Acquire(*_of(wanted))], once)
            return await self._own(wanted)
        waiter = _Waiter()
        place = (wanted.name, wanted.owner)
        self._waiting.setdefault(place, []).append(waiter)
        try:
            line = Enlist(
                wanted.name,
                wanted.owner,
                wanted.metadata,
                wanted.duration_ms,
                self._process,
                STAY_MS,
            )
            await self._commit([NoteStamp(), Acquire(*_of(wanted)), line], once)
            with suppress(LockHeld):
                return await self._own(wanted)
            self.loop.start()
            self.loop.wake()
            await waiter.arrival.wait(wait_ms / 1000)
        except BaseException:
            self._gone(place, waiter)
            self._abandon(wanted)
            raise
        self._gone(place, waiter)
        if waiter.lock is not None:
            return self._told(waiter.lock)
        if self._ended:
            raise KeyValUnavailable
        if not keeps_place and place not in self._waiting:
            await self._commit([Leave(*place)])
        return await self._own(wanted)

    @measured("lock_renew")
    async def renew(self, wanted: WantedLock, token: str, once: Once | None = None) -> LockState:
        """Prolong a lock that is held under this token. Raises `LockLost`."""
        renew = Renew(wanted.name, wanted.owner, token, wanted.duration_ms)
        await self._commit([renew], once)
        found = (await read_held(self._store.db, [wanted.name], self._now())).get(wanted.name)
        if found is None or (found.owner, found.token) != (wanted.owner, token):
            raise LockLost(wanted.name)
        return self._told(found)

    @measured("lock_steal")
    async def steal(self, wanted: WantedLock, once: Once | None = None) -> LockState:
        """Take a lock from whoever has it."""
        await self._commit([NoteStamp(), Acquire(*_of(wanted), is_stolen=True)], once)
        return await self._own(wanted)

    @measured("lock_release")
    async def release(
        self, name: str, owner: str, token: str | None = None, once: Once | None = None
    ) -> bool:
        """End a lock of an owner, held under this token if one is given; whether there was one."""
        release = _write(
            [Release(name, owner, token), NoteStamp(), PassOn([name])], is_counted=True
        )
        released = await self._store.write(release, once)
        if self._waiting:
            self.loop.wake()
        return released > 0

    @measured("lock_get")
    async def get(self, name: str) -> LockState | None:
        """A lock that somebody has."""
        now_ms = self._now()
        found = (await read_held(self._store.db, [name], now_ms)).get(name)
        if found is None:
            return None
        line = (await read_lines(self._store.db, [name], now_ms)).get(name)
        return self._told(found, line)

    @measured("lock_list")
    async def list(self, prefix: str, limit: int) -> list[LockState]:
        """The locks that somebody has and whose names begin so, in the order of their names."""
        now_ms = self._now()
        found = await list_held(self._store.db, prefix, limit, now_ms)
        lines = await read_lines(self._store.db, [it.name for it in found], now_ms)
        return [self._told(it, lines.get(it.name)) for it in found]

    async def forget(self, limit: int) -> int:
        """Remove at most so much of what was over long ago; how much."""
        return await self._store.write(_write([ForgetLocks(KEPT_MS, limit)], is_counted=True))

    def end_waits(self) -> None:
        """Let everybody who waits know that this process ends."""
        self._ended = True
        for waiters in self._waiting.values():
            for waiter in waiters:
                waiter.arrival.tell()

    async def close(self) -> None:
        """End the waiting, and finish what was begun."""
        self.end_waits()
        await self.loop.stop()
        if self._leaving:
            await asyncio.wait(self._leaving)

    async def _step(self) -> float | None:
        """Tell who has got a lock, and pass on those that nobody has; seconds until the next."""
        if not self._waiting:
            return None
        names = sorted({name for name, _ in self._waiting})
        held = await self._look(names)
        free = [name for name in names if name not in held]
        if free:
            await self._commit([NoteStamp(), PassOn(free)])
            held |= await self._look(free)
        if monotonic() >= self._refresh_at:
            await self._commit([Stay(self._process, STAY_MS)])
            self._refresh_at = monotonic() + REFRESH_SECONDS
        if not self._waiting:
            return None
        now_ms = self._now()
        ends = [(it.expires_at - now_ms) / 1000 for it in held.values()]
        return max(0.001, min(self._foreign_poll_s, self._refresh_at - monotonic(), *ends))

    async def _look(self, names: Sequence[str]) -> dict[str, HeldLock]:
        """The locks that are held; who waits for one that he has is told."""
        held = await read_held(self._store.db, names, self._now())
        for lock in held.values():
            for waiter in self._waiting.get((lock.name, lock.owner), ()):
                waiter.lock = lock
                waiter.arrival.tell()
        return held

    async def _own(self, wanted: WantedLock) -> LockState:
        """The lock that its owner has. Raises `LockHeld` if somebody else has it."""
        now_ms = self._now()
        found = (await read_held(self._store.db, [wanted.name], now_ms)).get(wanted.name)
        if found is not None and found.owner == wanted.owner:
            return self._told(found)
        if found is not None:
            raise LockHeld(wanted.name, found.owner, self._told(found).expires_at)
        line = (await read_lines(self._store.db, [wanted.name], now_ms)).get(wanted.name)
        # Nobody has it at this moment: those in line are about to get it.
        raise LockHeld(
            wanted.name, wanted.owner if line is None else line.first, self._wall(now_ms)
        )

    def _gone(self, place: tuple[str, str], waiter: _Waiter) -> None:
        """Forget a call that does not wait any more."""
        waiters = self._waiting[place]
        waiters.remove(waiter)
        if not waiters:
            del self._waiting[place]

    def _abandon(self, wanted: WantedLock) -> None:
        """Give up what a call has, or was about to get, that ended before its answer."""

        async def leave() -> None:
            with suppress(DatabaseError):  # then it ends by itself
                await self._commit(
                    [
                        Leave(wanted.name, wanted.owner),
                        Release(wanted.name, wanted.owner, None),
                        NoteStamp(),
                        PassOn([wanted.name]),
                    ]
                )
            self.loop.wake()

        if (wanted.name, wanted.owner) not in self._waiting:
            task = asyncio.get_running_loop().create_task(leave())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _commit(self, effects: Sequence[Effect], once: Once | None = None) -> None:
        await self._store.write(_write(effects), once)

    def _told(self, lock: HeldLock, line: Line | None = None) -> LockState:
        waiting = 0 if line is None else line.number
        acquired_at, expires_at = self._wall(lock.acquired_at), self._wall(lock.expires_at)
        return LockState(
            lock.name, lock.owner, lock.token, acquired_at, expires_at, lock.metadata, waiting
        )

    def _now(self) -> int:
        return self._store.clock.now()

    def _wall(self, at_ms: int) -> int:
        clock = self._store.clock
        return at_ms - clock.now() + clock.wall()


def _of(wanted: WantedLock) -> tuple[str, str, str | None, int]:
    return wanted.name, wanted.owner, wanted.metadata, wanted.duration_ms


def _write(effects: Sequence[Effect], *, is_counted: bool = False) -> Write[int]:
    """A write that concludes with how many its first effect concerned, if that is counted."""
    decision = Decision(effects, _first_count)
    return Write(lambda _: decision, recall=_first_kept, has_counts=is_counted)


def _first_count(results: Sequence[ResultSet], _: Settled) -> int:
    return results[0].rowcount


def _first_kept(kept: Kept) -> int:
    return kept.counts[0] if kept.counts else 0
