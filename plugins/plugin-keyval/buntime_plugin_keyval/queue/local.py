"""The queue for Python callers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from typing import Any

import msgspec
from buntime_keyval import InvalidInput, KeyPart
from buntime_keyval.wire import decode_value, encode_value
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT

from buntime_plugin_keyval.clock import Clock
from buntime_plugin_keyval.queue.consumer import Consumer, ErrorHandler, Handler, QueueMessage
from buntime_plugin_keyval.queue.dispatcher import Dispatcher
from buntime_plugin_keyval.queue.listener import Listener
from buntime_plugin_keyval.queue.messages import (
    DeadLetter,
    QueueStats,
    make_options,
    parse_lease_duration,
    parse_pause,
)
from buntime_plugin_keyval.queue.queue import Queue

Pause = float | str
"""Milliseconds, or a duration text such as "5s"."""


class DeadMessage(msgspec.Struct, frozen=True):
    """A message that was given up; times in epoch milliseconds."""

    id: str
    original_id: str
    value: Any
    error_message: str | None
    attempts: int
    original_created_at: int
    failed_at: int


class KvQueue:
    """`kv.queue`: first in, first out, each message at least once.

    Input is checked as over HTTP and raises `InvalidInput`.
    """

    def __init__(self, queue: Queue, dispatcher: Dispatcher, clock: Clock) -> None:
        self._queue = queue
        self._dispatcher = dispatcher
        self._clock = clock
        self._consumers: set[Consumer] = set()
        self._listeners: set[Listener] = set()

    async def enqueue(
        self,
        value: Any,
        *,
        delay: Pause | None = None,
        backoff_schedule: Sequence[Pause] | None = None,
        keys_if_undelivered: Sequence[Sequence[KeyPart]] | None = None,
    ) -> str:
        """Add a message, ready after `delay`; its id.

        A message whose delivery fails is tried again after each pause of the schedule, by
        default 1, 5 and 10 seconds, and then becomes a dead letter, and the value of the keys.
        """
        options = make_options(delay, backoff_schedule, keys_if_undelivered)
        return await self._queue.enqueue(encode_value(value, self._clock()), options)

    async def dequeue(self) -> QueueMessage | None:
        """Take the next message; it has to be acked or nacked before its lease ends."""
        messages = await self._queue.lease(1)
        return QueueMessage.of(messages[0]) if messages else None

    async def ack(self, message: QueueMessage | str, *, lease: str | None = None) -> None:
        """Remove a processed message, given as such or by its id; an unknown id is fine.

        Raises `StaleLease` if the message or `lease` names a delivery that is not the last one.
        """
        await self._queue.ack(*_identify(message, lease))

    async def nack(
        self,
        message: QueueMessage | str,
        *,
        error: str | None = None,
        delay: Pause | None = None,
        lease: str | None = None,
    ) -> None:
        """Have a message delivered again, after `delay` instead of what its schedule says.

        After its last attempt it becomes a dead letter with `error` as its text. Raises
        `StaleLease` as `ack` does.
        """
        message_id, known_lease = _identify(message, lease)
        pause = None if delay is None else parse_pause("delay", delay)
        await self._queue.nack(message_id, error=error, delay_ms=pause, lease=known_lease)

    async def extend(
        self,
        message: QueueMessage | str,
        duration: Pause | None = None,
        *,
        lease: str | None = None,
    ) -> None:
        """Keep a delivered message for `duration` from now, by default for another whole lease.

        For work that takes longer than `queue.lockDuration`. Raises `StaleLease` when it is too
        late: the message was delivered to somebody else, or settled.
        """
        message_id, known_lease = _identify(message, lease)
        milliseconds = None if duration is None else parse_lease_duration(duration)
        await self._queue.extend(message_id, known_lease, milliseconds)

    async def stats(self) -> QueueStats:
        """How many messages are pending, being processed, and dead."""
        return await self._queue.stats()

    async def list_dlq(self, *, limit: int = DEFAULT_LIMIT, offset: int = 0) -> list[DeadMessage]:
        """Dead letters, the newest failure first; at most 1000 at a time."""
        size = min(_at_least(1, "limit", limit), MAX_LIMIT)
        letters = await self._queue.list_dlq(limit=size, offset=_at_least(0, "offset", offset))
        return [_decoded(letter) for letter in letters]

    async def get_dlq_message(self, letter_id: str) -> DeadMessage | None:
        """One dead letter, by its own id."""
        letter = await self._queue.get_dlq_message(letter_id)
        return None if letter is None else _decoded(letter)

    async def requeue_dlq(self, letter_id: str) -> str:
        """Send a dead letter again, with its old schedule; the new id.

        Raises `LetterNotFound`.
        """
        return await self._queue.requeue_dlq(letter_id)

    async def delete_dlq(self, letter_id: str) -> bool:
        """Delete a dead letter; whether it was there."""
        return await self._queue.delete_dlq(letter_id)

    async def purge_dlq(self) -> int:
        """Delete all dead letters; how many there were."""
        return await self._queue.purge_dlq()

    def listen(
        self,
        handler: Handler,
        *,
        on_error: ErrorHandler | None = None,
        concurrency: int = 1,
    ) -> Callable[[], Coroutine[Any, Any, None]]:
        """Call `handler` with each message, for at most `concurrency` of them at a time.

        A handler that returns has its message acked. If it raises, `on_error` is called with the
        exception and the message, and the message is nacked with the exception's text. Returns
        what stops it: no further message is taken, and running handlers are waited for.
        """
        listener = self._dispatcher.attach(
            prefetch=_at_least(1, "concurrency", concurrency), returns_unsettled=False
        )
        consumer = Consumer(self._queue, listener, handler, on_error, concurrency)
        self._consumers.add(consumer)

        async def stop() -> None:
            self._consumers.discard(consumer)
            await consumer.stop()

        return stop

    async def messages(self, *, prefetch: int = 1) -> AsyncGenerator[QueueMessage, None]:
        """The messages as they come, for `async for`; each is to be acked or nacked.

        At most `prefetch` of them are out at a time. Those that are not settled when the
        iteration ends are delivered to somebody else.
        """
        listener = self._dispatcher.attach(prefetch=_at_least(1, "prefetch", prefetch))
        self._listeners.add(listener)
        try:
            while (message := await listener.next()) is not None:
                listener.sent()
                yield QueueMessage.of(message)
        finally:
            self._listeners.discard(listener)
            listener.close()

    async def close(self) -> None:
        """Stop every listener of this object and wait for running handlers. Idempotent."""
        for listener in tuple(self._listeners):
            listener.close()
        consumers, self._consumers = self._consumers, set()
        for consumer in consumers:
            consumer.end()
        for consumer in consumers:
            await consumer.stop()


def _identify(message: QueueMessage | str, lease: str | None) -> tuple[str, str | None]:
    if isinstance(message, QueueMessage):
        return message.id, lease or message.lease
    if not isinstance(message, str) or not message:
        raise InvalidInput(f"id must be a non-empty string, received {describe(message)}")
    return message, lease


def _at_least(least: int, name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        kind = "a positive number" if least else "a number that is not negative"
        raise InvalidInput(f"{name} must be {kind}, received {describe(value)}")
    return value


def _decoded(letter: DeadLetter) -> DeadMessage:
    return DeadMessage(
        letter.id,
        letter.original_id,
        decode_value(bytes(letter.value).decode()),
        letter.error_message,
        letter.attempts,
        letter.original_created_at,
        letter.failed_at,
    )
