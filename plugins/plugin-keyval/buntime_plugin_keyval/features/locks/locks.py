"""Operations on locks.

Whether a lock was given is decided by the result of the commit that asked for it, not by what the
table shows afterwards: by then the lock may have ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple, TypeVar

from buntime_database import ResultSet

from buntime_plugin_keyval.engine.decisions import Decision, Settled, View, Write
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.locks.waiting import (
    SILENT_MS,
    STAY_MS,
    LinePlace,
    LockAttempt,
    Waiter,
    Waiters,
)
from buntime_plugin_keyval.model.clock import wall_of
from buntime_plugin_keyval.model.errors import KeyValUnavailable, LockHeld, LockLost
from buntime_plugin_keyval.requests.answers import ClientGone, Gone
from buntime_plugin_keyval.storage.effects import Effect, NoteStamp
from buntime_plugin_keyval.storage.lock_effects import (
    Acquire,
    Enlist,
    ForgetLocks,
    Leave,
    PassOn,
    Prolong,
    Release,
    Renew,
    Stay,
)
from buntime_plugin_keyval.storage.locks import HeldLock, Line, list_held, read_held, read_lines
from buntime_plugin_keyval.storage.replays import Kept

N = TypeVar("N")
T = TypeVar("T")

KEPT_MS = 3_600_000
"""How long locks and places in line stay in the tables once they are over."""


class LockState(NamedTuple):
    """A lock as callers see it. Times are wall-clock milliseconds since the epoch."""

    name: str
    owner: str
    token: str
    acquired_at: int
    expires_at: int
    metadata: str | None
    """JSON."""
    waiting: int = 0
    """How many owners wait for it."""


class Granted(NamedTuple):
    """A lock that was given to the owner that asked for it."""

    token: str
    expires_at: int
    """In wall-clock milliseconds; a short lock may be over already."""
    ends_at: int | None = None
    """The same in the store's time; None if the owner had the lock before."""


class WantedLock(NamedTuple):
    """The lock that a call asks for."""

    name: str
    owner: str
    duration_ms: int
    metadata: str | None = None


class LockDesk:
    """The locks of one store."""

    def __init__(self, store: Store, *, foreign_poll_ms: int) -> None:
        self._store = store
        self.recorder = store.recorder
        self._waiters = Waiters(store, foreign_poll_ms=foreign_poll_ms)
        self.loop = self._waiters.loop
        self._finding: set[asyncio.Task[Granted]] = set()
        """Tasks that find out which owner has a lock that was not given at once."""

    @property
    def waiting(self) -> int:
        """The number of calls that wait in this process."""
        return self._waiters.number

    @measured("lock_acquire")
    async def acquire(
        self,
        wanted: WantedLock,
        wait_ms: int = 0,
        *,
        keeps_place: bool = False,
        once: Once | None = None,
        gone: Gone | None = None,
    ) -> Granted:
        """Take a lock, or prolong it if the owner has it; wait in line for at most `wait_ms`.

        With `keeps_place` the place in line is kept for a while after the wait, for an owner that
        asks again at once. A call that waited and was cancelled, or whose client has gone, leaves
        nothing behind. If a lock was given and its owner cannot be told, call `give_back`.

        Raises `LockHeld`, and `ClientGone` when the client has gone.
        """

        async def ask() -> Granted:
            if not wait_ms:
                return await self._had_since(wanted, self._ask(wanted))
            return await self._wait_for(wanted, wait_ms, keeps_place=keeps_place, gone=gone)

        return await self._once(once, ask)

    def take(self, wanted: WantedLock) -> asyncio.Future[Granted]:
        """Take a lock now or not at all, or prolong it if the owner has it.

        The write is under way when this returns; a task is started only if the commit did not give
        the lock. The future raises `LockHeld`.
        """
        taken: asyncio.Future[Granted] = asyncio.get_running_loop().create_future()
        asking = self._ask(wanted)
        asking.add_done_callback(partial(self._tell_taken, wanted, taken, perf_counter()))
        return taken

    @measured("lock_renew")
    async def renew(self, wanted: WantedLock, token: str, once: Once | None = None) -> Granted:
        """Prolong the lock held under this token. Raises `LockLost`."""
        effect = Renew(wanted.name, wanted.owner, token, wanted.duration_ms)

        def decide(view: View) -> Decision[int | None]:
            ends = view.now_ms + wanted.duration_ms
            return Decision([effect], lambda results, _: ends if results[0].rowcount else None)

        async def ask() -> Granted:
            ends = await self._store.write(Write(decide))
            if ends is None:
                raise LockLost(wanted.name)
            return Granted(token, self._wall(ends))

        return await self._once(once, ask)

    @measured("lock_steal")
    async def steal(self, wanted: WantedLock, once: Once | None = None) -> Granted:
        """Take a lock, whether another owner has it or not."""
        effects: Sequence[Effect] = [NoteStamp(), Acquire(*_of(wanted), is_stolen=True)]

        def decide(view: View) -> Decision[Granted]:
            stamp, ends_at = view.versionstamp, view.now_ms + wanted.duration_ms
            ends = self._wall(ends_at)
            return Decision(
                effects,
                lambda _, settled: Granted(settled.get(stamp, stamp), ends, ends_at),
                told=ends,
            )

        write = Write(decide, recall=lambda kept: Granted(kept.versionstamp, int(kept.told)))
        stealing = self._store.write(write, once)
        try:
            return await asyncio.shield(stealing)
        except asyncio.CancelledError:
            if once is None:  # else the owner may ask for the answer again
                stealing.add_done_callback(partial(self.give_back_of, wanted))
            raise

    def release(
        self, name: str, owner: str, token: str | None = None, once: Once | None = None
    ) -> asyncio.Future[bool]:
        """Release a lock of an owner, under this token if one is given; whether there was one.

        Without a token the owner's place in line is given up, too. The write is under way when this
        returns. Raises `RequestUnderWay`.
        """
        release = _counted([Release(name, owner, token), NoteStamp(), PassOn([name])], bool)
        released = self._store.write(release, once, "lock_release")
        if self._waiters.number:
            released.add_done_callback(lambda _: self.loop.wake())
        return released

    def give_back(self, wanted: WantedLock, granted: Granted) -> None:
        """Release a lock whose owner was never told of it.

        A lock that the owner had before stays, and so does one that it has prolonged since.
        """
        if granted.ends_at is None:
            return
        own = Release(wanted.name, wanted.owner, granted.token, granted.ends_at)
        write = _counted([own, NoteStamp(), PassOn([wanted.name])], bool)
        self._store.write(write, None, "lock_release").add_done_callback(self._given_back)

    def give_back_of(self, wanted: WantedLock, asking: asyncio.Future[Granted]) -> None:
        """Release the lock that this future gave, if it gave one; see `give_back`."""
        granted = _come_of(asking)
        if granted is not None:
            self.give_back(wanted, granted)

    def _given_back(self, giving: asyncio.Future[bool]) -> None:
        if not giving.cancelled():
            giving.exception()  # retrieved, and ignored: the lock ends by itself
        self.loop.wake()

    @measured("lock_get")
    async def get(self, name: str) -> LockState | None:
        now_ms = self._now()
        found = (await read_held(self._store.db, [name], now_ms)).get(name)
        if found is None:
            return None
        line = (await read_lines(self._store.db, [name], now_ms)).get(name)
        return self._told(found, line)

    @measured("lock_list")
    async def list(self, prefix: str, limit: int) -> list[LockState]:
        """The locks that are held whose names have this prefix, in order of name."""
        now_ms = self._now()
        found = await list_held(self._store.db, prefix, limit, now_ms)
        lines = await read_lines(self._store.db, [it.name for it in found], now_ms)
        return [self._told(it, lines.get(it.name)) for it in found]

    async def forget(self, limit: int) -> int:
        """Remove at most `limit` rows that were over long ago; how many there were."""
        return await self._store.write(_counted([ForgetLocks(KEPT_MS, limit)], int))

    def end_waits(self) -> None:
        """Tell all waiting calls that this process ends."""
        self._waiters.end()

    async def close(self) -> None:
        """End all waits, and finish the writes that were begun."""
        await self._waiters.close()

    async def _once(
        self, once: Once | None, ask: Callable[[], Coroutine[Any, Any, Granted]]
    ) -> Granted:
        """The lock given to this request, or the first time it was made.

        A refusal is not kept: the request may be repeated.
        """
        return await self._store.replays.run(
            once, ask, keep=lambda granted: granted[:2], recall=lambda kept: Granted(*kept.told)
        )

    def _ask(self, wanted: WantedLock, *behind: Effect) -> asyncio.Future[LockAttempt]:
        """Take or prolong a lock, unless another owner has it or waits for it."""
        return self._store.write(_asking(wanted, *behind))

    async def _had_since(self, wanted: WantedLock, asking: asyncio.Future[LockAttempt]) -> Granted:
        """The lock that was asked for; asks again if it is free by now. Raises `LockHeld`."""
        while True:
            try:
                asked = await asyncio.shield(asking)
            except asyncio.CancelledError:
                asking.add_done_callback(partial(self._give_back_asked, wanted))
                raise
            granted = await self._given(wanted, asked) or await self._had(wanted)
            if granted is not None:
                return granted
            asking = self._ask(wanted)

    def _give_back_asked(self, wanted: WantedLock, asking: asyncio.Future[LockAttempt]) -> None:
        granted = self._given_now(_come_of(asking))
        if granted is not None:
            self.give_back(wanted, granted)

    def _tell_taken(
        self,
        wanted: WantedLock,
        taken: asyncio.Future[Granted],
        started: float,
        asking: asyncio.Future[LockAttempt],
    ) -> None:
        """Set the result of `taken`: at once if the commit gave the lock, else by a task."""
        granted = self._given_now(_come_of(asking))
        if granted is None:
            self._find_out(wanted, taken, started, asking)
            return
        self.recorder.record("lock_acquire", perf_counter() - started)
        if not taken.done():
            taken.set_result(granted)

    def _find_out(
        self,
        wanted: WantedLock,
        taken: asyncio.Future[Granted],
        started: float,
        asking: asyncio.Future[LockAttempt],
    ) -> None:
        """Set the result of `taken` by a task, which finds out which owner has the lock by now."""

        def tell(finding: asyncio.Task[Granted]) -> None:
            self._finding.discard(finding)
            if finding.cancelled():
                taken.cancel()
                return
            error = finding.exception()
            seconds = perf_counter() - started
            self.recorder.record("lock_acquire", seconds, failed=error is not None)
            if taken.done():
                return
            if error is None:
                taken.set_result(finding.result())
            else:
                taken.set_exception(error)

        finding = asyncio.get_running_loop().create_task(self._had_since(wanted, asking))
        self._finding.add(finding)
        finding.add_done_callback(tell)

    async def _wait_for(
        self, wanted: WantedLock, wait_ms: int, *, keeps_place: bool, gone: Gone | None
    ) -> Granted:
        place = LinePlace(wanted.name, wanted.owner)
        waiters = self._waiters
        waiter = waiters.add(place)
        line = Enlist(*place, wanted.metadata, wanted.duration_ms, waiters.process, SILENT_MS)
        asking = self._ask(wanted, line)
        watching = None if gone is None else asyncio.create_task(_watch(gone, waiter))
        is_answered = False
        try:
            granted = await self._given_in_line(wanted, waiter, asking, wait_ms)
            if granted is None:
                behind: list[Effect] = []
                if not waiters.is_shared(place):
                    waiter.is_over = True
                    process = waiters.process
                    stay = Stay(process, [place], STAY_MS)
                    behind = [stay if keeps_place else Leave(*place, process)]
                granted = await self._had_since(wanted, self._ask(wanted, *behind))
            is_answered = True
        except (LockHeld, KeyValUnavailable):
            is_answered = True
            raise
        finally:
            waiters.remove(place, waiter)
            if watching is not None:
                watching.cancel()
            if is_answered and not waiter.is_gone:
                waiters.answered(place)
            else:
                waiters.withdraw(place, asking)
        if waiter.is_gone:
            raise ClientGone
        return granted

    async def _given_in_line(
        self, wanted: WantedLock, waiter: Waiter, asking: asyncio.Future[LockAttempt], wait_ms: int
    ) -> Granted | None:
        """The lock, or None if it was not given in time.

        Raises `ClientGone` and `KeyValUnavailable`.
        """
        asked = await asyncio.shield(asking)  # `withdraw` needs to know what this commit did
        waiter.since = asked.stamp
        granted = await self._given(wanted, asked)
        if granted is not None:
            return granted
        self.loop.start()
        self.loop.wake()
        if not waiter.is_gone:
            await waiter.arrival.wait(wait_ms / 1000)
        if waiter.is_gone:
            raise ClientGone
        if waiter.lock is not None:
            granted = self._granted(waiter.lock.token, waiter.lock.expires_at)
            return granted if waiter.is_alone else granted._replace(ends_at=None)
        if self._waiters.ended:
            raise KeyValUnavailable(
                f"This host is stopping while a call waits for the lock {wanted.name}; its place in"
                " line is kept for a moment: try again"
            )
        return None

    def _given_now(self, asked: LockAttempt | None) -> Granted | None:
        """The lock that a commit gave to an owner that did not have it."""
        if asked is None or asked.ends_at is None or asked.is_prolonged:
            return None
        return self._granted(asked.stamp, asked.ends_at)

    async def _given(self, wanted: WantedLock, asked: LockAttempt) -> Granted | None:
        """The lock that a commit gave or prolonged, which may be over by now; else None."""
        if asked.ends_at is None or not asked.is_prolonged:
            return self._given_now(asked)
        token = asked.stamp
        found = (await read_held(self._store.db, [wanted.name], 0)).get(wanted.name)
        if found is not None and found.owner == wanted.owner and found.token < token:
            token = found.token
        return Granted(token, self._wall(asked.ends_at))

    async def _had(self, wanted: WantedLock) -> Granted | None:
        """The lock that its owner has by now; None if the owner may ask for it again.

        Raises `LockHeld` if another owner has it, or is the first in line.
        """
        name, owner = wanted.name, wanted.owner
        now_ms = self._now()
        found = (await read_held(self._store.db, [name], now_ms)).get(name)
        if found is not None:
            if found.owner == owner:
                return Granted(found.token, self._wall(found.expires_at))
            raise LockHeld(name, found.owner, self._wall(found.expires_at))
        line = (await read_lines(self._store.db, [name], now_ms)).get(name)
        if line is None or line.first == owner:
            return None
        # The lock is free at this moment, and about to be given to the first in line.
        raise LockHeld(name, line.first, self._wall(now_ms))

    def _told(self, lock: HeldLock, line: Line | None = None) -> LockState:
        waiting = 0 if line is None else line.number
        acquired_at, expires_at = self._wall(lock.acquired_at), self._wall(lock.expires_at)
        return LockState(
            lock.name, lock.owner, lock.token, acquired_at, expires_at, lock.metadata, waiting
        )

    def _granted(self, token: str, ends_at: int) -> Granted:
        """A newly given lock, which its owner did not have before."""
        return Granted(token, self._wall(ends_at), ends_at)

    def _now(self) -> int:
        return self._store.clock.now()

    def _wall(self, at_ms: int) -> int:
        return wall_of(self._store.clock, at_ms)


def _come_of(asking: asyncio.Future[T]) -> T | None:
    """What came of it, unless it failed."""
    return None if asking.cancelled() or asking.exception() is not None else asking.result()


async def _watch(gone: Gone, waiter: Waiter) -> None:
    await gone()
    waiter.leave()


def _of(wanted: WantedLock) -> tuple[str, str, str | None, int]:
    return wanted.name, wanted.owner, wanted.metadata, wanted.duration_ms


def _asking(wanted: WantedLock, *behind: Effect) -> Write[LockAttempt]:
    """A write that takes or prolongs a lock if it can, and then has further effects."""
    lock = _of(wanted)
    effects: Sequence[Effect] = [NoteStamp(), Prolong(*lock), Acquire(*lock), *behind]

    def decide(view: View) -> Decision[LockAttempt]:
        stamp, ends_at = view.versionstamp, view.now_ms + wanted.duration_ms

        def conclude(results: Sequence[ResultSet], settled: Settled) -> LockAttempt:
            is_prolonged, was_given = results[1].rowcount > 0, results[2].rowcount > 0
            ends = ends_at if is_prolonged or was_given else None
            return LockAttempt(settled.get(stamp, stamp), ends, is_prolonged)

        return Decision(effects, conclude)

    return Write(decide)


def _counted(effects: Sequence[Effect], told: Callable[[int], N]) -> Write[N]:
    """A write whose result is `told` of the number of rows that its first effect changed."""
    decision = Decision(effects, lambda results, _: told(results[0].rowcount))

    def recall(kept: Kept) -> N:
        return told(kept.counts[0] if kept.counts else 0)

    return Write(lambda _: decision, recall=recall, has_counts=True)
