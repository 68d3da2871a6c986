"""Consumers of the stream for Python callers."""

from __future__ import annotations

from buntime_keyval import (
    ConsumerBatch,
    ConsumerFailure,
    ConsumerInfo,
    ConsumerLetter,
    Duration,
    KeyLike,
    StreamRecord,
    shared,
)
from buntime_keyval.shared import AsyncConsumer
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.limits import DEFAULT_LIMIT

from buntime_plugin_keyval.faces.local.part import LocalPart
from buntime_plugin_keyval.faces.local.stream import stream_range, to_record
from buntime_plugin_keyval.features.consumers.consumers import ConsumerDesk, Holder, WantedBatch
from buntime_plugin_keyval.features.stream.part import ALL_KEYS, Wish
from buntime_plugin_keyval.requests.permissions import CONSUME, Permits

Infos = list[ConsumerInfo]
Letters = list[ConsumerLetter]
Records = list[StreamRecord]


class LocalConsumers:
    """Named positions in the stream, each held by one owner at a time."""

    def __init__(self, consumers: ConsumerDesk, permits: Permits) -> None:
        self._consumers = consumers
        self._permits = permits

    async def fetch(
        self,
        name: str,
        owner: str,
        *,
        limit: int = DEFAULT_LIMIT,
        lock_duration: Duration = "30s",
        prefix: KeyLike = (),
        type: str | None = None,
        after: int = 0,
        wait: Duration | None = None,
    ) -> ConsumerBatch:
        """Hold the consumer for `lock_duration`, and get the first records not processed yet."""
        order = shared.consumer_order(name, owner, limit, lock_duration, prefix, type, after)
        keys = stream_range(prefix)
        self._permits.need(CONSUME, order.name)
        self._permits.read_range(keys)
        wish = Wish(order.after, order.limit, keys, order.type)
        wanted = WantedBatch(
            order.name, order.owner, order.duration_ms, wish, shared.stream_wait_ms(wait)
        )
        batch = await self._consumers.fetch(wanted)
        records = [*map(to_record, batch.records)]
        return ConsumerBatch(records, batch.token, batch.position, batch.lag)

    async def commit(self, name: str, token: str, up_to: int) -> int:
        """Mark all records up to `up_to` as processed; the position, which never goes back."""
        holder = self._holder(name, token)
        return await self._consumers.commit(holder, shared.stream_position("up_to", up_to))

    async def nack(
        self,
        name: str,
        token: str,
        seq: int,
        *,
        error: str | None = None,
        max_attempts: int = shared.MAX_ATTEMPTS,
    ) -> ConsumerFailure:
        """Report a record that could not be processed, after all records before it were."""
        return await self._consumers.nack(
            self._holder(name, token),
            shared.stream_position("seq", seq),
            None if error is None else checked_error("error", error, as_written),
            shared.checked_attempts(max_attempts),
        )

    async def release(self, name: str, owner: str, *, token: str | None = None) -> bool:
        """Let another owner go on at once."""
        token = None if token is None else shared.consumer_token(token)
        return await self._consumers.release(self._named(name), shared.consumer_owner(owner), token)

    async def get(self, name: str) -> ConsumerInfo | None:
        """A consumer and its position; None if there is no consumer of that name."""
        return await self._consumers.find(self._named(name))

    async def list(self, prefix: str = "", *, limit: int = DEFAULT_LIMIT) -> Infos:
        """The consumers whose names begin with `prefix`, at most 1000."""
        self._permits.need(CONSUME, shared.checked_prefix(prefix) or None)
        return await self._consumers.list(prefix, shared.checked_page(limit))

    async def peek(
        self,
        name: str,
        *,
        limit: int = DEFAULT_LIMIT,
        prefix: KeyLike = (),
        type: str | None = None,
        after: int = 0,
    ) -> Records:
        """The next records, without holding the consumer."""
        keys = stream_range(prefix)
        known = self._named(name)
        self._permits.read_range(keys)
        kind = None if type is None else shared.checked_text("type", type)
        size = shared.checked_page(limit)
        wish = Wish(shared.stream_position("after", after), size, keys, kind)
        return [*map(to_record, (await self._consumers.peek(known, wish)).records)]

    async def set_position(self, name: str, seq: int) -> ConsumerInfo:
        """Set the position of a consumer, which may be new; its holder has to fetch again."""
        known = self._named(name)
        return await self._consumers.move(known, shared.stream_position("seq", seq))

    async def delete(self, name: str) -> bool:
        """Delete a consumer and its dead letters; returns whether there was one."""
        return await self._consumers.delete(self._named(name))

    async def dead_letters(
        self, name: str, *, after: int = 0, limit: int = DEFAULT_LIMIT
    ) -> Letters:
        """The dead letters of a consumer after a position, at most 1000."""
        known = self._named(name)
        self._permits.read_range(ALL_KEYS)
        place, size = shared.stream_position("after", after), shared.checked_page(limit)
        return [
            ConsumerLetter(
                to_record(it.record),
                it.error,
                it.attempts,
                self._consumers.wall(it.failed_at),
                it.is_requeued,
            )
            for it in await self._consumers.letters(known, place, size)
        ]

    async def requeue(self, name: str, seq: int | None = None) -> int:
        """Deliver one dead letter again, or all of them; returns how many."""
        return await self._consumers.requeue(self._named(name), _chosen(seq))

    async def delete_dead_letters(self, name: str, seq: int | None = None) -> int:
        """Delete one dead letter, or all of them; returns how many."""
        return await self._consumers.remove_letters(self._named(name), _chosen(seq))

    def _named(self, name: str) -> str:
        """A consumer's name, checked; raises if the caller may not use it."""
        known = shared.consumer_name(name)
        self._permits.need(CONSUME, known)
        return known

    def _holder(self, name: str, token: str) -> Holder:
        return Holder(self._named(name), shared.consumer_token(token))


class LocalConsuming(LocalPart):
    """Consumers that process the stream."""

    consumers: LocalConsumers

    def consumer(
        self,
        name: str,
        *,
        prefix: KeyLike = (),
        type: str | None = None,
        owner: str | None = None,
        lock_duration: Duration = "30s",
        batch: int = DEFAULT_LIMIT,
        max_attempts: int = shared.MAX_ATTEMPTS,
        retry: Duration = "1s",
    ) -> AsyncConsumer:
        """Process the stream under a name: see `records` and `run` of the consumer returned."""
        self._permits.need(CONSUME, shared.consumer_name(name))
        self._permits.read_range(stream_range(prefix))
        return AsyncConsumer(
            self.consumers,
            name,
            prefix=prefix,
            type=type,
            owner=owner,
            lock_duration=lock_duration,
            batch=batch,
            max_attempts=max_attempts,
            retry=retry,
        )


def _chosen(seq: int | None) -> int | None:
    return None if seq is None else shared.stream_position("seq", seq)
