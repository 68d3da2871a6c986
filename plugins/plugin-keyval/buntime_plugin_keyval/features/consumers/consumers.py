"""Operations on consumers.

Each consumer's position is a row of its own, which only the holder of its lock may change. That is
an ordinary lock, whose tokens fence off earlier holders. Nothing about a consumer is kept in
memory: each fetch reads the position anew, so it does not matter which process is asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from enum import Enum, auto
from time import monotonic
from typing import Any, NamedTuple

from buntime_database import Guard, ResultSet
from buntime_keyval import ConsumerFailing, ConsumerFailure, ConsumerInfo
from buntime_keyval.wire import InvalidInput
from msgspec import structs

from buntime_plugin_keyval.engine.additions import Addition
from buntime_plugin_keyval.engine.decisions import Decision, Write
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.engine.writes import of_effects
from buntime_plugin_keyval.features.locks.locks import Granted, LockDesk, WantedLock
from buntime_plugin_keyval.features.stream.part import StreamPart, StreamSlice, Wish
from buntime_plugin_keyval.model import errors
from buntime_plugin_keyval.model.clock import wall_of
from buntime_plugin_keyval.requests.answers import ClientGone, Gone
from buntime_plugin_keyval.requests.permissions import CONSUME
from buntime_plugin_keyval.storage import consumers
from buntime_plugin_keyval.storage.changelog import LoggedChange
from buntime_plugin_keyval.storage.consumer_effects import (
    Advance,
    Begin,
    ConsumerEffect,
    Dismiss,
    Fail,
    FailAgain,
    Move,
    Redeliver,
    RemoveLetters,
    is_its_holder,
    lock_of,
)
from buntime_plugin_keyval.storage.effects import Effect, NoteStamp
from buntime_plugin_keyval.storage.lock_effects import PassOn

CONFIRMED_MS = 60_000
"""How often a position that has not changed is confirmed as up to date."""

_LEAST_PAUSE_S = 0.1
"""Shortest pause between two renewals of the lock while a fetch waits for records."""

_MOMENTS = 6
"""The number of common moments for renewals in the duration of a lock. A lock is renewed after at
least a half and at most two thirds of its duration."""


class WantedBatch(NamedTuple):
    """What one instance of a consumer asks for."""

    name: str
    owner: str
    duration_ms: int
    wish: Wish
    """Which records, and how many; none up to its place, if that is more than 0."""
    wait_ms: int = 0


class RecordBatch(NamedTuple):
    """The records for one instance of a consumer."""

    records: Sequence[LoggedChange]
    token: str
    position: int
    lag: int
    """The number of changes after the position."""
    is_new: bool = False
    """Whether its owner did not hold the consumer before."""


class _Fetch:
    """How a fetch holds its consumer, and how far it has looked since then."""

    def __init__(self, wait_ms: int) -> None:
        self._ends = monotonic() + wait_ms / 1000
        self.token = ""
        self.is_new = False
        """Whether its owner did not hold the consumer before."""
        self.looked = 0
        """The position up to which there are no wanted records."""
        self.page: StreamSlice | None = None
        """The page that was read last; None if something was written since."""

    @property
    def left_s(self) -> float:
        """The seconds for which it may still wait."""
        return self._ends - monotonic()

    def took(self, granted: Granted) -> None:
        """Note that the consumer is held now; its position may have been set meanwhile."""
        self.token, self.is_new = granted.token, granted.ends_at is not None
        self.looked, self.page = 0, None


class _Waited(Enum):
    """How a wait for records ended."""

    GROWN = auto()
    CLOSED = auto()
    OVER = auto()


class Holder(NamedTuple):
    """The instance that reports about records: its consumer, owner and token."""

    name: str
    token: str
    owner: str | None = None


class ConsumerDesk:
    """The consumers of one store."""

    def __init__(self, store: Store, locks: LockDesk, stream: StreamPart) -> None:
        self._store = store
        self._locks = locks
        self._stream = stream
        self.recorder = store.recorder
        self.waiting = 0
        """The number of fetches in this process that wait for records."""

    @measured("consumer_fetch")
    async def fetch(self, wanted: WantedBatch, gone: Gone | None = None) -> RecordBatch:
        """The first records that the consumer has not processed; the caller holds it from then on.

        Waits for the consumer, if another owner holds it, and for a record. A dead letter that was
        requeued comes first, by itself.

        Raises `ConsumerLocked`, `StreamTrimmed` and `ClientGone`; after the last one the consumer
        is not held. A fetch that is cancelled holds it only if its owner did before.
        """
        fetch = _Fetch(wanted.wait_ms)
        try:
            batch = await self._fetch(wanted, gone, fetch)
        except asyncio.CancelledError:
            if fetch.is_new:
                self.let_go(wanted, fetch.token)
            raise
        return batch._replace(is_new=fetch.is_new)

    def let_go(self, wanted: WantedBatch, token: str) -> None:
        """Release a consumer whose holder was never told that it holds it."""
        releasing = self._locks.release(lock_of(wanted.name), wanted.owner, token)
        # If the release fails, the lock ends by itself.
        releasing.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _fetch(self, wanted: WantedBatch, gone: Gone | None, fetch: _Fetch) -> RecordBatch:
        name, wish = wanted.name, wanted.wish
        while True:
            await self._hold(wanted, gone, fetch)
            state = await self._begun(name)
            if state.requeued is not None and not wish.after:
                letter = await self._letter(name, state.requeued)
                if letter is not None:
                    return RecordBatch([letter.record], fetch.token, state.position, state.lag)
            left_s = fetch.left_s
            page = fetch.page
            if page is None or left_s <= 0:
                behind = max(state.position, wish.after, fetch.looked)
                page = fetch.page = await self._scan(wish._replace(after=behind))
            if page.records or left_s <= 0 or self._stream.is_closed:
                if not page.records and not wish.after:
                    state = await self._confirm(Holder(name, fetch.token), state, page.next)
                return RecordBatch(page.records, fetch.token, state.position, state.lag)
            fetch.looked = page.next
            waited = await self._wait(wanted, gone, fetch, page)
            if waited is _Waited.GROWN:
                fetch.page = None
            elif waited is _Waited.CLOSED:
                return RecordBatch([], fetch.token, state.position, state.lag)

    @measured("consumer_commit")
    async def commit(self, holder: Holder, up_to: int, once: Once | None = None) -> int:
        """Mark all records up to `up_to` as processed; the new position, which never goes back.

        Raises `StaleConsumer`, and `PositionAhead` for a position that does not exist yet.
        """

        async def advance() -> int:
            await self._held(holder, up_to, Advance(holder.name, up_to))
            return (await self._known(holder.name)).position

        return await self._once(once, advance)

    def commitment(self, holder: Holder, up_to: int) -> Addition:
        """An addition to a commit that does the same; the commit is refused where that raises."""
        return Addition(
            Advance(holder.name, up_to),
            scope=CONSUME,
            resource=holder.name,
            guards=[self._guard(holder, up_to)],
        )

    @measured("consumer_nack")
    async def nack(
        self,
        holder: Holder,
        seq: int,
        error: str | None,
        max_attempts: int,
        once: Once | None = None,
    ) -> ConsumerFailure:
        """Report a record that could not be processed, after all records before it were.

        It is delivered again, and becomes a dead letter after its last attempt. Raises as `commit`,
        and `InvalidInput` for a record that is processed.
        """

        async def fail() -> ConsumerFailure:
            return await self._fail(holder, seq, error, max_attempts)

        return await self._store.replays.run(
            once, fail, keep=structs.astuple, recall=lambda kept: ConsumerFailure(*kept.told)
        )

    @measured("consumer_release")
    async def release(
        self, name: str, owner: str, token: str | None, once: Once | None = None
    ) -> bool:
        """Release a consumer for other owners; whether this one held it (under that token)."""
        return await self._locks.release(lock_of(name), owner, token, once)

    @measured("consumer_peek")
    async def peek(self, name: str, wish: Wish) -> StreamSlice:
        """Look at the next records without processing them. Raises `StreamTrimmed`."""
        state = await self._known(name)
        return await self._scan(wish._replace(after=max(state.position, wish.after)))

    @measured("consumer_get")
    async def find(self, name: str) -> ConsumerInfo | None:
        state = await consumers.read_consumer(self._store.db, name, self._now())
        return None if state is None else self._told(state)

    async def get(self, name: str) -> ConsumerInfo:
        """One consumer. Raises `ConsumerNotFound`."""
        state = await self.find(name)
        if state is None:
            raise errors.ConsumerNotFound(name)
        return state

    @measured("consumer_list")
    async def list(self, prefix: str, limit: int) -> list[ConsumerInfo]:
        """The consumers whose names have this prefix, in order of name."""
        found = await consumers.list_consumers(self._store.db, prefix, limit, self._now())
        return [self._told(state) for state in found]

    @measured("consumer_move")
    async def move(self, name: str, position: int, once: Once | None = None) -> ConsumerInfo:
        """Set the position of a consumer, which may be new; its holder loses it.

        Raises `StreamTrimmed` if records after the position are gone, and `PositionAhead` for a
        position that does not exist yet.
        """

        async def move() -> int:
            first, last = await self._stream.bounds()
            if position > last:
                raise errors.PositionAhead(position, last)
            if position < first - 1:
                raise errors.StreamTrimmed(first)
            await self._write(Move(name, position), *_passing_on(name))
            return position

        await self._once(once, move)
        return self._told(await self._known(name))

    @measured("consumer_delete")
    async def delete(self, name: str, once: Once | None = None) -> bool:
        """Remove a consumer and its dead letters; whether there was one."""
        gone = await self._once(once, lambda: self._count(Dismiss(name), *_passing_on(name)))
        return gone > 0

    @measured("consumer_dead")
    async def letters(self, name: str, after: int, limit: int) -> Sequence[consumers.RecordLetter]:
        """The dead letters of a consumer, after a position. Raises `ConsumerNotFound`."""
        await self._known(name)
        most = self._store.limits.answer_bytes
        return await consumers.read_letters(self._store.db, name, after, limit, most)

    @measured("consumer_requeue")
    async def requeue(self, name: str, seq: int | None, once: Once | None = None) -> int:
        """Deliver a dead letter once more, or all for None; how many. Raises `ConsumerNotFound`."""

        async def redeliver() -> int:
            await self._known(name)
            return await self._count(Redeliver(name, seq))

        return await self._once(once, redeliver)

    @measured("consumer_remove_dead")
    async def remove_letters(self, name: str, seq: int | None, once: Once | None = None) -> int:
        """Remove a dead letter, or all for None; how many. Raises `ConsumerNotFound`."""

        async def remove() -> int:
            await self._known(name)
            return await self._count(RemoveLetters(name, seq))

        return await self._once(once, remove)

    def wall(self, at_ms: int) -> int:
        """A time of the store by the clock on the wall."""
        return wall_of(self._store.clock, at_ms)

    async def _hold(self, wanted: WantedBatch, gone: Gone | None, fetch: _Fetch) -> None:
        """Take the consumer's lock, or prolong it. Raises `ConsumerLocked` and `ClientGone`."""
        lock = WantedLock(lock_of(wanted.name), wanted.owner, wanted.duration_ms)
        if fetch.token:
            with suppress(errors.LockLost):
                await self._locks.renew(lock, fetch.token)
                return
        wait_ms = max(0, round(fetch.left_s * 1000))
        try:
            granted = await self._locks.acquire(lock, wait_ms, gone=gone)
        except errors.LockHeld as error:
            raise errors.ConsumerLocked(wanted.name, error.owner, error.expires_at) from None
        fetch.took(granted)

    async def _begun(self, name: str) -> consumers.StoredConsumer:
        state = await consumers.read_consumer(self._store.db, name, self._now())
        while state is None:
            await self._write(Begin(name))
            state = await consumers.read_consumer(self._store.db, name, self._now())
        return state

    async def _scan(self, wish: Wish) -> StreamSlice:
        """The first page that has records, or the last one."""
        page = await self._stream.page(wish)
        while not page.records and page.next < page.bounds.last:
            page = await self._stream.page(wish._replace(after=page.next))
        return page

    async def _confirm(
        self, holder: Holder, state: consumers.StoredConsumer, position: int
    ) -> consumers.StoredConsumer:
        """Move on to a position up to which no record is for the consumer, to free the log."""
        if position == state.position and state.updated_at > self._now() - CONFIRMED_MS:
            return state
        await self._held(holder, position, Advance(holder.name, position))
        return await self._begun(holder.name)

    async def _wait(
        self, wanted: WantedBatch, gone: Gone | None, fetch: _Fetch, page: StreamSlice
    ) -> _Waited:
        """Wait for a change after a page, at most until the lock is to be prolonged.

        If none can come, since the store closes or the client has gone, the consumer is released
        for other owners. Raises `ClientGone`.
        """
        pause_s = until_prolonged(wanted.duration_ms / 1000, monotonic())
        try:
            waited = await self._wait_behind(page, min(fetch.left_s, pause_s), gone)
        except ClientGone:
            await self._locks.release(lock_of(wanted.name), wanted.owner, fetch.token)
            raise
        if waited is _Waited.CLOSED:
            # Another instance that asks another host can go on at once.
            await self._locks.release(lock_of(wanted.name), wanted.owner, fetch.token)
        return waited

    async def _wait_behind(self, page: StreamSlice, seconds: float, gone: Gone | None) -> _Waited:
        waits = [asyncio.ensure_future(self._stream.wait_behind(page))]
        if gone is not None:
            waits.append(asyncio.ensure_future(_true_after(gone)))
        self.waiting += 1
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if len(waits) > 1 and waits[1].done():
                raise ClientGone
            if not waits[0].done():
                return _Waited.OVER
            return _Waited.GROWN if waits[0].result() else _Waited.CLOSED
        finally:
            self.waiting -= 1
            for wait in waits:
                wait.cancel()

    async def _held(self, holder: Holder, position: int, effect: ConsumerEffect) -> None:
        """Commit an effect that only the holder of a consumer may have. Raises as `commit`."""
        decision = Decision[bool]((effect,), lambda *_: True)
        guards = [self._guard(holder, position)]
        if not await self._store.write(Write(lambda _: decision, guards=guards, may_refuse=True)):
            last = (await self._store.newest_place(fresh=True)).seq
            if position > last and await self._is_holder(holder):
                raise errors.PositionAhead(position, last)
            raise errors.StaleConsumer(holder.name)

    async def _fail(
        self, holder: Holder, seq: int, error: str | None, max_attempts: int
    ) -> ConsumerFailure:
        name = holder.name
        state = await consumers.read_consumer(self._store.db, name, self._now())
        if state is None or seq > state.position:
            await self._held(holder, seq, Fail(name, seq, error, max_attempts))
            state = await self._known(name)
            is_dead = state.position >= seq
            return ConsumerFailure(state.attempts, is_dead, state.position)
        letter = await self._letter(name, seq)
        if letter is None or not letter.is_requeued:
            if not await self._is_holder(holder):
                raise errors.StaleConsumer(name)
            raise InvalidInput(
                f"seq must be a record after the position {state.position}, or a dead letter that"
                f" is delivered once more, received {seq}"
            )
        await self._held(holder, seq, FailAgain(name, seq, error, max_attempts))
        letter = await self._letter(name, seq)
        attempts = max_attempts if letter is None else letter.attempts
        return ConsumerFailure(attempts, letter is None or not letter.is_requeued, state.position)

    async def _letter(self, name: str, seq: int) -> consumers.RecordLetter | None:
        return await consumers.read_letter(self._store.db, name, seq)

    async def _is_holder(self, holder: Holder) -> bool:
        lock = await self._locks.get(lock_of(holder.name))
        return (
            lock is not None and lock.token == holder.token and holder.owner in (None, lock.owner)
        )

    async def _known(self, name: str) -> consumers.StoredConsumer:
        state = await consumers.read_consumer(self._store.db, name, self._now())
        if state is None:
            raise errors.ConsumerNotFound(name)
        return state

    async def _once(self, once: Once | None, work: Callable[[], Coroutine[Any, Any, int]]) -> int:
        """The result of work, or the one of the first time if the request is repeated."""
        return await self._store.replays.run(
            once, work, keep=lambda number: number, recall=lambda kept: int(kept.told)
        )

    async def _write(self, *effects: Effect) -> Sequence[ResultSet]:
        return await self._store.write(of_effects(effects))

    async def _count(self, *effects: Effect) -> int:
        """Commit effects; the number of rows that the first one changed."""
        return (await self._write(*effects))[0].rowcount

    def _guard(self, holder: Holder, position: int) -> Guard:
        name, token, owner = holder
        return is_its_holder(self._store.sql, name, token, owner, position, self._now())

    def _told(self, state: consumers.StoredConsumer) -> ConsumerInfo:
        failed, failing = state.failed_position, None
        if failed is not None and failed > state.position:
            failing = ConsumerFailing(failed, state.attempts, state.error)
        return ConsumerInfo(
            state.name,
            state.position,
            state.lag,
            state.owner,
            None if state.until is None else self.wall(state.until),
            self.wall(state.updated_at),
            failing,
        )

    def _now(self) -> int:
        return self._store.clock.now()


def until_prolonged(lock_s: float, now: float) -> float:
    """Seconds after which a waiting fetch prolongs its lock, long enough before the lock ends.

    All waiting fetches with locks of the same duration do so at the same moments: one commit
    prolongs all of them, and no write in between wakes a waiting call.
    """
    step = lock_s / _MOMENTS
    moment = int(now / step) + 1 + _MOMENTS // 2
    return max(_LEAST_PAUSE_S, moment * step - now)


async def _true_after(gone: Gone) -> bool:
    await gone()
    return True


def _passing_on(name: str) -> Sequence[Effect]:
    """Effects that pass the lock of a consumer on to the first owner in line."""
    return NoteStamp(), PassOn([lock_of(name)])
