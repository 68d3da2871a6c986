"""Operations of the queue, all by way of the store's one commit path."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from time import monotonic
from typing import NamedTuple

import msgspec
from buntime_database import GuardFailed, ResultSet, Value
from buntime_keyval import QueueStats
from buntime_keyval.wire import encode_key, key_to_json
from buntime_keyval.wire.commits import MessageOptions

from buntime_plugin_keyval.engine.decisions import Decision, PlainWrite, Write
from buntime_plugin_keyval.engine.once import Once
from buntime_plugin_keyval.engine.recorder import measured
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.engine.writes import of_effects
from buntime_plugin_keyval.features.queue.deliveries import Deliveries
from buntime_plugin_keyval.model.errors import MessageNotFound, StaleLease
from buntime_plugin_keyval.model.messages import LeasedMessage, new_id, stored_keys
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.effects import Effect, Put
from buntime_plugin_keyval.storage.message_effects import (
    Bury,
    Count,
    Discard,
    Enqueue,
    Extend,
    GiveBack,
    Lease,
    Retry,
    Settle,
    Undeliver,
    same_delivery,
)
from buntime_plugin_keyval.storage.replays import Kept
from buntime_plugin_keyval.storage.selection import POINT_LIMIT

DEFAULT_ERROR = "Max attempts exceeded"
LEASE_EXPIRED = "Lease expired after max attempts"
PAUSE_WITHOUT_SCHEDULE_MS = 1000
MOST_LOOKED_AT = 1000
"""Queues that are looked at together on the event loop: each takes less than a microsecond."""

_BURY_BATCH = 50
_TAKE_ATTEMPTS = 3
"""How many messages a poll leases, one after the other, if leases end before it can answer."""


class _Delivery(NamedTuple):
    """The columns of a message that giving it up or retrying it needs."""

    id: str
    lease: str | None
    visible_at: int
    value: str
    queue: str
    attempts: int
    max_attempts: int
    backoff_schedule: str
    keys_if_undelivered: str


EndEffects = Callable[[str], Sequence[Effect]]
"""Returns the effects that end a message without attempts left, by its id."""


def _recall_id(kept: Kept) -> str:
    return str(kept.told)


LONG_SECONDS = 60.0
"""For how long after a long message others are expected to be long as well."""


class Queue:
    """The store's queue: first in, first out among the messages that are ready."""

    def __init__(self, store: Store, *, lease_ms: int) -> None:
        self._store = store
        self._sql = store.sql.queue
        self.recorder = store.recorder
        self._lease_ms = lease_ms
        self._deliveries = Deliveries(
            self._count, lease_ms=lease_ms, clock=store.clock, logger=store.logger
        )
        self._long_until = 0.0
        """Until when messages may be long, so that rewriting their rows takes a while."""
        self._has_others = False
        """Whether the queue without a name may have messages that are not plain, or options: see
        `QueueSql`."""
        self._endings: dict[str, EndEffects] = {}
        self._on_ready: Callable[[str | None], None] = lambda _: None
        self._on_settled: Callable[[str], None] = lambda _: None
        if store.forwarding is not None:
            store.forwarding.offer("queue_enqueue", self.enqueue)

    def observe(
        self, *, ready: Callable[[str | None], None], settled: Callable[[str], None]
    ) -> None:
        """Set the callbacks for messages that may have become ready, and for settled ones.

        `ready` is called with their queue, or None if it may be any.
        """
        self._on_ready = ready
        self._on_settled = settled

    def enqueue(self, value: str, options: MessageOptions, once: Once | None = None) -> Future[str]:
        """Add a message with a canonical value; the result is its id, which the sender may choose.

        For at least a day nothing more is sent under an id that was chosen: the result is the same.

        The write is under way when this returns. Raises `RequestUnderWay`, and `InvalidInput` for a
        key that is too long for the database.
        """
        for key in options.keys_if_undelivered:
            self._store.check_key(encode_key(key))
        if self._store.forwarding is not None:
            sent = self._store.forwarding.send(len(value), "queue_enqueue", (value, options), once)
            if sent is not None:
                # The committing worker's signal would tell this one as well, but later.
                sent.add_done_callback(lambda _: self._on_ready(options.queue))
                return sent
        message_id = new_id() if options.id is None else options.id
        size = len(value)
        if size > LONG_VALUE:
            self._note_size(value)

        def conclude(*_: object) -> str:
            self._on_ready(options.queue)
            return message_id

        decision = Decision((Enqueue(message_id, value, options),), conclude, message_id)
        write = PlainWrite(decision, size, _recall_id, has_stamp=False)
        return self._store.write(write, once, "queue_enqueue")

    def enqueued(self, queue: str | None) -> None:
        """Note that another commit brought messages to a queue; None if it may be any."""
        self._on_ready(queue)

    @measured("queue_dequeue")
    async def lease(self, limit: int, queue: str = "") -> list[LeasedMessage]:
        """Lease at most `limit` ready messages, in order; call `given` for those handed on.

        If there are none, messages whose last lease ran out become dead letters.
        """
        rows = await self._lease(limit, queue if queue or self._has_others else None)
        if not rows and not queue:
            had_others = self._has_others
            await self._next_plain()
            if self._has_others and not had_others:
                rows = await self._lease(limit, queue)
        messages = _messages(rows)
        for message in messages:
            self._note_size(message.value)
        if not messages:
            await self.bury_exhausted()
        return messages

    async def _lease(self, limit: int, queue: str | None) -> list[tuple[Value, ...]]:
        """The rows that `Lease` returns; if the caller is cancelled, they are given back."""
        leasing = self.lease_by(Lease(limit, self._lease_ms, queue))
        try:
            return await asyncio.shield(leasing)
        except asyncio.CancelledError:
            await self.give_back(_messages(await leasing))
            raise

    def lease_by(self, lease: Lease, *behind: Effect) -> Future[list[tuple[Value, ...]]]:
        """Lease messages, with further effects in the same commit; the rows that `Lease` returns.

        The write is under way when this returns, and goes on if the caller is cancelled.
        """
        counts = self._deliveries.ended()

        def conclude(results: Sequence[ResultSet], _: object) -> list[tuple[Value, ...]]:
            self._deliveries.counted(counts)
            return results[len(counts)].rows

        decision = Decision((*counts, lease, *behind), conclude)
        return self._store.write(Write(lambda _: decision, size=self._size()))

    async def take(self, queue: str = "") -> LeasedMessage | None:
        """Lease one message for a consumer that gets it at once: the delivery counts."""
        for _ in range(_TAKE_ATTEMPTS):
            messages = await self.lease(1, queue)
            if not messages:
                return None
            if self.holds(messages[0]):
                self.given(messages[0])
                return messages[0]
        return None

    def end_otherwise(self, mark: str, ending: EndEffects) -> None:
        """Set what happens to exhausted messages of queues whose names begin with `mark`.

        Those of other queues become dead letters.
        """
        self._endings[mark] = ending

    def settled(self, message_id: str) -> None:
        """Note that another commit has settled a delivery."""
        self._settled(message_id)

    def extended(self, message_id: str) -> None:
        """Note that another commit has prolonged a lease, and so counted the delivery."""
        self._deliveries.settled(message_id)

    def holds(self, message: LeasedMessage) -> bool:
        """Whether the lease of this message lasts, so that no other consumer gets it."""
        return message.ends_at_ms > self._store.clock.now()

    def given(self, message: LeasedMessage) -> None:
        """Note that a consumer has this message: its delivery counts."""
        self._deliveries.given(message)

    def settle(
        self,
        message_id: str,
        lease: str | None = None,
        *,
        strict: bool = False,
        queue: str | None = None,
    ) -> Future[None]:
        """Do the same as `ack`, without a task: the write is under way when this returns."""

        def conclude(results: Sequence[ResultSet], _: object) -> None:
            if lease is not None or strict:
                self._check_settled(results[0], message_id, lease)
            self._settled(message_id)

        settling = Settle if lease is not None or strict else Discard
        decision = Decision((settling(message_id, lease, queue),), conclude)
        return self._store.write(
            PlainWrite(decision, self._size(), has_stamp=False), None, "queue_ack"
        )

    async def ack(
        self,
        message_id: str,
        lease: str | None = None,
        once: Once | None = None,
        *,
        strict: bool = False,
        queue: str | None = None,
    ) -> None:
        """Remove a processed message; an unknown id is no error unless `strict`.

        If a queue is given, messages of other queues count as unknown, here and below.

        Raises `StaleLease` if a lease is given that is not the message's current one, and with
        `strict` and no lease `MessageNotFound` for an unknown id.
        """
        if once is None:
            await self.settle(message_id, lease, strict=strict, queue=queue)
        else:
            await self._ack_once(Settle(message_id, lease, queue), once, strict=strict)

    @measured("queue_ack")
    async def _ack_once(self, settling: Settle, once: Once, *, strict: bool) -> None:
        """Do `ack` for a request that may have been made before."""
        (result,) = await self.commit(settling, once=once)
        if settling.lease is not None or strict:
            self._check_settled(result, settling.id, settling.lease)
        self._settled(settling.id)

    def _check_settled(self, result: ResultSet, message_id: str, lease: str | None) -> None:
        """Raise as `ack` does if the message was not there, or not under this lease."""
        if not result.rowcount:
            raise MessageNotFound(message_id) if lease is None else StaleLease

    @measured("queue_nack")
    async def nack(
        self,
        message_id: str,
        *,
        error: str | None = None,
        delay_ms: int | None = None,
        lease: str | None = None,
        once: Once | None = None,
        strict: bool = False,
        queue: str | None = None,
    ) -> None:
        """Give a message back for another attempt, or give it up after the last one.

        An unknown id is no error unless `strict`. Raises `StaleLease` and `MessageNotFound` like
        `ack`.
        """
        # First of all: if this was done before, the message may be with another consumer by now.
        if await self.was_done(once):
            return
        while True:
            delivery = await self._delivery(message_id, queue)
            if lease is not None and (delivery is None or delivery.lease != lease):
                raise StaleLease
            if delivery is None:
                if strict:
                    raise MessageNotFound(message_id)
                break
            if delivery.attempts >= delivery.max_attempts:
                effects = _give_up(delivery, error or DEFAULT_ERROR)
            else:
                pause = _pause(delivery) if delay_ms is None else delay_ms
                effects = [Retry(message_id, pause)]
            if await self._commit_if_current(delivery, effects, once):
                self._on_ready(None)
                break
        self._settled(message_id)

    @measured("queue_nack")
    async def release(
        self, message_id: str, lease: str, once: Once | None = None, *, queue: str | None = None
    ) -> None:
        """Give back a message that was not begun: the delivery does not count as an attempt.

        Raises `StaleLease` if the lease is not the message's current one.
        """
        if queue is not None and not await self.was_done(once):
            await self._check_queue(message_id, queue)
        (result,) = await self.commit(Undeliver(message_id, lease), once=once)
        if not result.rowcount:
            raise StaleLease
        self._on_ready(None)
        self._settled(message_id)

    @measured("queue_extend")
    async def extend(
        self,
        message_id: str,
        lease: str | None = None,
        duration_ms: int | None = None,
        once: Once | None = None,
        *,
        strict: bool = False,
        queue: str | None = None,
    ) -> None:
        """Prolong the lease of a delivered message: it ends `duration_ms` from now.

        The default is as long as a new lease. Raises `StaleLease` if the message has no lease, or
        not the one that is given: it is with another consumer, or settled. With `strict` and no
        lease given, raises `MessageNotFound` if the queue has no such message at all.
        """
        duration = self._lease_ms if duration_ms is None else duration_ms
        if queue is not None and not await self.was_done(once):
            try:
                await self._check_queue(message_id, queue)
            except StaleLease:
                if strict and lease is None:
                    raise MessageNotFound(message_id) from None
                raise
        (result,) = await self.commit(
            Extend(message_id, lease, duration, is_usual=duration_ms is None), once=once
        )
        if not result.rowcount:
            if strict and lease is None and not await self._delivery(message_id):
                raise MessageNotFound(message_id)
            raise StaleLease
        self._deliveries.settled(message_id)

    async def give_back(
        self, unsent: Sequence[LeasedMessage], unsettled: Sequence[LeasedMessage] = ()
    ) -> None:
        """End the leases of messages that their listener will not settle.

        The delivery of unsent ones does not count as an attempt. Unsettled ones may have been
        processed: their delivery counts, and after the last attempt they keep their lease.
        """
        if not (unsent or unsettled):
            return
        await self.commit(
            *(Undeliver(message.id, message.lease) for message in unsent),
            *(GiveBack(message.id, message.lease) for message in unsettled),
        )
        for message in (*unsent, *unsettled):
            self._deliveries.settled(message.id)
        self._on_ready(None)

    async def bury_exhausted(self) -> None:
        """Bury messages whose attempts are used up and that no consumer holds."""
        counts = self._deliveries.ended()
        if counts:
            await self._count(counts)
            self._deliveries.counted(counts)
        while True:
            args = (self._store.clock.now(), _BURY_BATCH)
            rows = await self._store.adapter.query(
                self._sql.exhausted, args, point=True, fresh=True
            )
            for (message_id,) in rows:
                # One at a time, since each may have a long value.
                delivery = await self._delivery(str(message_id))
                if (
                    delivery is not None
                    and delivery.attempts >= delivery.max_attempts
                    and delivery.visible_at <= args[0]
                ):
                    await self._bury(delivery)
            if len(rows) < _BURY_BATCH:
                return

    async def _bury(self, delivery: _Delivery) -> None:
        """End a message without attempts left, unless another process does so first."""
        ending = self._endings.get(delivery.queue[:1])
        effects = _give_up(delivery, LEASE_EXPIRED) if ending is None else ending(delivery.id)
        if await self._commit_if_current(delivery, effects):
            self._settled(delivery.id)

    async def next_visible(self, queue: str = "") -> int | None:
        """When the next message of a queue can be delivered; None if there is none."""
        if not queue:
            visible = await self._next_plain()
            if not self._has_others:
                return visible
        ((of_queue,),) = await self._store.adapter.query(
            self._sql.next_visible_of, (queue,), point=True
        )
        return of_queue  # type: ignore[return-value] # as the schema says

    async def _next_plain(self) -> int | None:
        """The same for plain messages. Notes whether their queue has others."""
        ((visible, has_others),) = await self._store.adapter.query(
            self._sql.next_visible, point=True
        )
        self._has_others = bool(has_others)
        return visible  # type: ignore[return-value] # as the schema says

    async def with_messages(self, queues: Sequence[str]) -> list[str]:
        """Those of some named queues that have messages."""
        names = msgspec.json.encode(queues).decode()
        is_short = len(queues) <= MOST_LOOKED_AT
        rows = await self._store.adapter.query(self._sql.with_messages, (names,), point=is_short)
        return [str(name) for (name,) in rows]

    async def next_exhausted(self) -> int | None:
        """When the next message of any queue is to be buried; None if there is none."""
        ((exhausted,),) = await self._store.adapter.query(self._sql.next_exhausted, point=True)
        return exhausted  # type: ignore[return-value] # as the schema says

    async def no_longer_held(self, messages: Sequence[LeasedMessage]) -> list[LeasedMessage]:
        """Those of the messages that are settled, delivered again, or whose leases ran out."""
        ids = msgspec.json.encode([message.id for message in messages]).decode()
        rows = await self._store.adapter.query(
            self._sql.held,
            (self._store.clock.now(), ids),
            point=len(messages) <= POINT_LIMIT,
            fresh=True,
        )
        held = set(rows)
        return [message for message in messages if (message.id, message.lease) not in held]

    async def stats(self, queue: str | None = "") -> QueueStats:
        """How many messages a queue has; all queues together for None.

        Delayed messages, and those whose lease ran out, are pending.
        """
        now_ms = self._store.clock.now()
        if queue is None:
            rows = await self._store.adapter.query(self._sql.stats, (now_ms,))
        else:
            rows = await self._store.adapter.query(self._sql.stats_of, (now_ms, queue))
        ((queued, leased, dead),) = rows
        queued, leased, dead = int(queued or 0), int(leased or 0), int(dead or 0)
        return QueueStats(pending=queued - leased, processing=leased, dlq=dead, total=queued + dead)

    async def begin(self) -> None:
        """Let the store's time begin no earlier than the queue's last time: see `Store.begin`."""
        clock = self._store.clock
        ((since,),) = await self._store.adapter.query(
            self._sql.waiting_since, (clock.now(),), point=True, fresh=True
        )
        clock.not_before(int(since or 0))

    async def close(self) -> None:
        """Write the counts of deliveries that are not written yet."""
        await self._deliveries.close()

    def _settled(self, message_id: str) -> None:
        self._deliveries.settled(message_id)
        self._on_settled(message_id)

    async def _check_queue(self, message_id: str, queue: str) -> None:
        """Raise `StaleLease` unless this message is in this queue. Messages never change queues."""
        if not await self._delivery(message_id, queue):
            raise StaleLease

    async def was_done(self, once: Once | None) -> bool:
        """Whether this request was carried out before, so that its message may be gone by now."""
        return once is not None and await self._store.replays.find(once) is not None

    async def _delivery(self, message_id: str, queue: str | None = None) -> _Delivery | None:
        """The row of a message, or None; only of this queue if one is given."""
        rows = await self._store.adapter.query(
            self._sql.delivery, (message_id,), point=True, fresh=True
        )
        delivery = _Delivery(*rows[0]) if rows else None  # type: ignore[arg-type] # schema
        return None if delivery is None or queue not in (None, delivery.queue) else delivery

    async def _count(self, counts: Sequence[Count]) -> None:
        await self.commit(*counts)
        self._on_ready(None)  # one may have had its last delivery, and is to be buried

    async def commit(
        self, *effects: Effect, bounded: bool = True, once: Once | None = None
    ) -> Sequence[ResultSet]:
        """Commit effects on messages; their results."""
        write = of_effects(effects, bounded=bounded, size=self._size())
        return await self._store.write(write, once)

    def _size(self) -> int:
        """The size to assume for a commit that leases or removes messages."""
        return LONG_VALUE + 1 if monotonic() < self._long_until else 0

    def _note_size(self, value: str) -> None:
        """If a message is long, have the commits that follow written in a thread."""
        if len(value) > LONG_VALUE:
            self._long_until = monotonic() + LONG_SECONDS

    async def _commit_if_current(
        self, delivery: _Delivery, effects: Sequence[Effect], once: Once | None = None
    ) -> bool:
        """Commit unless the message was settled or delivered again since it was read."""
        guard = same_delivery(
            self._store.sql, delivery.id, delivery.attempts, delivery.visible_at, delivery.lease
        )
        decision = Decision[None](effects, lambda *_: None)
        try:
            write = Write(lambda _: decision, guards=(guard,), recall=lambda _: None)
            await self._store.write(write, once)
        except GuardFailed:
            return False
        return True


def _messages(rows: Sequence[tuple[Value, ...]]) -> list[LeasedMessage]:
    return [LeasedMessage(*row[2:]) for row in sorted(rows)]  # type: ignore[arg-type] # as the schema says


def _give_up(delivery: _Delivery, error_message: str) -> list[Effect]:
    """Effects that make a message a dead letter and store its value under the sender's keys."""
    effects: list[Effect] = [Bury(delivery.id, new_id(), error_message)]
    keys = stored_keys(delivery.keys_if_undelivered)
    effects.extend(Put(encode_key(key), key_to_json(key), delivery.value) for key in keys)
    return effects


def _pause(delivery: _Delivery) -> int:
    schedule: list[int] = msgspec.json.decode(delivery.backoff_schedule)
    if not schedule:
        return PAUSE_WITHOUT_SCHEDULE_MS  # it was nacked before it was delivered
    return schedule[min(max(delivery.attempts - 1, 0), len(schedule) - 1)]
