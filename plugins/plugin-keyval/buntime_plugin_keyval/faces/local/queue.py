"""The queue for Python callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from buntime_keyval import DeadLetter, DeleteResult, EnqueueResult, InvalidInput, QueueMessage
from buntime_keyval.shared import Letter, checked_id, checked_limit, milliseconds
from buntime_keyval.wire import Duration, decode_value
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT

from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.features.queue.dispatcher import Dispatcher
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.model.messages import Message, StoredLetter, parse_lease_duration

Deliver = Callable[[QueueMessage[Any]], Awaitable[bool]]


class LocalMessages:
    """What a listener of this process takes and settles: `AsyncMessages`."""

    def __init__(self, queue: Queue, dispatcher: Dispatcher, *, concurrency: int) -> None:
        self._queue = queue
        self._dispatcher = dispatcher
        self._concurrency = concurrency

    async def feed(self, has_room: Callable[[], Awaitable[bool]], deliver: Deliver) -> None:
        """Deliver messages until the listener stops, or the service ends."""
        listener = self._dispatcher.attach(prefetch=self._concurrency, returns_unsettled=False)
        try:
            while await has_room():
                message = await listener.next()
                if message is None:
                    return  # the service ends; what is in hand keeps its lease and can be settled
                if await deliver(message_of(message)):
                    listener.sent()
            await asyncio.Event().wait()  # what is in hand is settled before this is cancelled
        except asyncio.CancelledError:
            listener.returns_unsettled = True
            raise
        finally:
            listener.close()

    async def ack(self, message_id: str, *, draining: bool) -> None:  # noqa: ARG002 - over HTTP
        """It was processed, whoever has it by now."""
        await self._queue.ack(message_id)

    async def nack(
        self,
        message_id: str,
        lease: str | None,
        error: str | None,
        delay: Duration | None,
        *,
        draining: bool,  # noqa: ARG002 - this listener takes no more by itself
    ) -> None:
        """It is to be delivered again."""
        pause = None if delay is None else milliseconds("delay", delay)
        await self._queue.nack(message_id, error=error, delay_ms=pause, lease=lease)

    async def release(
        self,
        message_id: str,
        lease: str | None,
        *,
        draining: bool,  # noqa: ARG002 - as above
    ) -> None:
        """Nobody began with it."""
        if lease is not None:
            await self._queue.release(message_id, lease)

    async def extend(self, message_id: str, lease: str | None, duration: Duration | None) -> None:
        """It takes longer."""
        await self._queue.extend(message_id, lease, lease_ms(duration))


class LocalDeadLetters:
    """Messages that were given up after their last attempt."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    async def list(self, *, limit: int = DEFAULT_LIMIT, offset: int = 0) -> list[DeadLetter[Any]]:
        """Dead letters, the newest failure first; at most 1000 at a time."""
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise InvalidInput(f"offset must not be negative, received {describe(offset)}")
        size = min(checked_limit(limit), MAX_LIMIT)
        return [_decoded(it) for it in await self._queue.list_dlq(limit=size, offset=offset)]

    async def get(self, letter_id: str) -> DeadLetter[Any] | None:
        """One dead letter, or None."""
        letter = await self._queue.get_dlq_message(checked_id(letter_id))
        return None if letter is None else _decoded(letter)

    async def requeue(self, letter_id: str, *, idempotency_key: str | None = None) -> EnqueueResult:
        """Send it again as a new message. Raises `NotFound`."""
        once = once_of(idempotency_key, "requeue", letter_id)
        return EnqueueResult(True, await self._queue.requeue_dlq(checked_id(letter_id), once))

    async def delete(self, letter_id: str, *, idempotency_key: str | None = None) -> None:
        """Delete it; an unknown id is fine."""
        once = once_of(idempotency_key, "delete_letter", letter_id)
        await self._queue.delete_dlq(checked_id(letter_id), once)

    async def purge(self, *, idempotency_key: str | None = None) -> DeleteResult:
        """Delete all of them."""
        return DeleteResult(await self._queue.purge_dlq(once_of(idempotency_key, "purge")))


def lease_ms(duration: Duration | None) -> int | None:
    """For how long a lease is to last; None for the usual time. Raises `InvalidInput`."""
    return None if duration is None else parse_lease_duration(duration)


def message_of(message: Message) -> QueueMessage[Any]:
    """A delivered message with its value decoded."""
    return QueueMessage(message.id, decode_value(message.value), message.attempts, message.lease)


def _decoded(letter: StoredLetter) -> Letter:
    return DeadLetter(
        letter.id,
        letter.original_id,
        decode_value(bytes(letter.value).decode()),
        letter.error_message,
        letter.attempts,
        letter.original_created_at,
        letter.failed_at,
    )
