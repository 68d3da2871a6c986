"""The queue for Python callers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from buntime_keyval import (
    DeadLetter,
    DeleteResult,
    EnqueueResult,
    InvalidInput,
    QueueMessage,
    QueueStats,
    shared,
)
from buntime_keyval.shared import (
    AsyncListenerFlow,
    AsyncQueueListener,
    ErrorHandler,
    Handler,
    Letter,
    Mode,
)
from buntime_keyval.wire import Duration, KeyLike, decode_value, encode_key
from buntime_keyval.wire.describe import as_written, describe
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT
from buntime_keyval.wire.names import checked_queue
from buntime_keyval.wire.python_options import message_options, milliseconds

from buntime_plugin_keyval.engine.once import once_of
from buntime_plugin_keyval.faces.local.part import LocalPart, check_mode, text_and_saying
from buntime_plugin_keyval.features.queue.dead_letters import StoredLetters
from buntime_plugin_keyval.features.queue.dispatcher import Dispatcher
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.model.messages import LeasedMessage, StoredLetter, parse_lease_duration
from buntime_plugin_keyval.requests.permissions import (
    QUEUE_ADMIN,
    QUEUE_RECEIVE,
    QUEUE_SEND,
    Permits,
)

Deliver = Callable[[QueueMessage[Any]], Awaitable[bool]]


class LocalMessages:
    """Implements `AsyncMessages` for listeners of this process."""

    def __init__(
        self, queue: Queue, dispatcher: Dispatcher, name: str, *, concurrency: int
    ) -> None:
        self._queue = queue
        self._dispatcher = dispatcher
        self._name = name
        self._concurrency = concurrency

    async def feed(self, has_room: Callable[[], Awaitable[bool]], deliver: Deliver) -> None:
        """Deliver messages until the listener stops, or the service ends."""
        listener = self._dispatcher.attach(
            self._name, prefetch=self._concurrency, returns_unsettled=False
        )
        try:
            while await has_room():
                message = await listener.next()
                if message is None:
                    return  # the service ends; messages in hand keep their leases
                if await deliver(message_of(message, self._name)):
                    listener.sent()
            await asyncio.Event().wait()  # messages in hand are settled before this is cancelled
        except asyncio.CancelledError:
            listener.returns_unsettled = True
            raise
        finally:
            listener.close()

    async def ack(self, message_id: str, *, draining: bool) -> None:  # noqa: ARG002 - over HTTP
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
        pause = None if delay is None else milliseconds("delay", delay)
        said = _said(error)
        await self._queue.nack(message_id, error=said, delay_ms=pause, lease=lease)

    async def release(
        self,
        message_id: str,
        lease: str | None,
        *,
        draining: bool,  # noqa: ARG002 - as above
    ) -> None:
        if lease is not None:
            await self._queue.release(message_id, lease)

    async def extend(self, message_id: str, lease: str | None, duration: Duration | None) -> None:
        await self._queue.extend(message_id, lease, lease_ms(duration))


class LocalDeadLetters:
    """Messages of a queue that were given up after their last attempt."""

    def __init__(self, letters: StoredLetters, permits: Permits, name: str = "") -> None:
        self._letters = letters
        self._permits = permits
        self._name = name
        self._of = name or None
        """The queue in which letters are looked for by id; None for all queues."""

    def of(self, queue: str) -> LocalDeadLetters:
        """The dead letters of another queue."""
        return LocalDeadLetters(self._letters, self._permits, checked_queue("queue", queue))

    async def list(self, *, limit: int = DEFAULT_LIMIT, offset: int = 0) -> list[DeadLetter[Any]]:
        """Dead letters, the newest failure first; at most 1000 at a time."""
        self._permits.need(QUEUE_ADMIN, self._of)
        if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
            raise InvalidInput(f"offset must not be negative, received {describe(offset)}")
        size = min(shared.checked_limit(limit), MAX_LIMIT)
        found = await self._letters.list(limit=size, offset=offset, queue=self._name)
        return [_decoded(it) for it in found]

    async def get(self, letter_id: str) -> DeadLetter[Any] | None:
        """One dead letter, or None."""
        self._permits.need(QUEUE_ADMIN, self._of)
        letter = await self._letters.get(shared.checked_id(letter_id), self._of)
        return None if letter is None else _decoded(letter)

    async def requeue(self, letter_id: str, *, idempotency_key: str | None = None) -> EnqueueResult:
        """Send a dead letter again as a new message. Raises `NotFound`."""
        self._permits.need(QUEUE_ADMIN, self._of)
        once = once_of(idempotency_key, "requeue", letter_id)
        sent = await self._letters.requeue(shared.checked_id(letter_id), once, queue=self._of)
        return EnqueueResult(True, sent)

    async def delete(self, letter_id: str, *, idempotency_key: str | None = None) -> None:
        """Delete one dead letter; an unknown id is no error."""
        self._permits.need(QUEUE_ADMIN, self._of)
        once = once_of(idempotency_key, "delete_letter", letter_id)
        await self._letters.delete(shared.checked_id(letter_id), once, queue=self._of)

    async def purge(self, *, idempotency_key: str | None = None) -> DeleteResult:
        """Delete all of them."""
        self._permits.need(QUEUE_ADMIN, self._of)
        once = once_of(idempotency_key, "purge", self._name)
        return DeleteResult(await self._letters.purge(once, self._name))


def lease_ms(duration: Duration | None) -> int | None:
    """The length of a lease; None for the usual one. Raises `InvalidInput`."""
    return None if duration is None else parse_lease_duration("duration", duration)


def message_of(message: LeasedMessage, queue: str) -> QueueMessage[Any]:
    """A delivered message with its value decoded."""
    value = decode_value(message.value)
    return QueueMessage(message.id, value, message.attempts, message.lease, queue)


def _decoded(letter: StoredLetter) -> Letter:
    return DeadLetter(
        letter.id,
        letter.original_id,
        decode_value(bytes(letter.value).decode()),
        letter.error_message,
        letter.attempts,
        letter.original_created_at,
        letter.failed_at,
        letter.queue,
    )


class LocalQueue(LocalPart):
    """The queue of the store."""

    async def enqueue(
        self,
        value: Any,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
        queue: str = "",
        priority: int = 0,
        id: str | None = None,
        idempotency_key: str | None = None,
    ) -> EnqueueResult:
        """Send a message."""
        options = message_options(delay, backoff_schedule, keys_if_undelivered, queue, priority, id)
        self._permits.need(QUEUE_SEND, queue or None)
        self._permits.write(*[encode_key(key) for key in options.keys_if_undelivered])
        text, said = text_and_saying(value, self._store.clock.wall())
        once = once_of(idempotency_key, "enqueue", said, options)
        return EnqueueResult(True, await self._service.queue.enqueue(text, options, once))

    async def dequeue(self, queue: str = "") -> QueueMessage[Any] | None:
        """Take one message of a queue, or None; settle it with `ack_message` or `nack_message`."""
        name = checked_queue("queue", queue)
        self._permits.need(QUEUE_RECEIVE, name or None)
        message = await self._service.queue.take(name)
        return None if message is None else message_of(message, name)

    async def ack_message(
        self,
        message: QueueMessage[Any] | str,
        *,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Remove a processed message, given as such or by its id."""
        message_id, known_lease, queue = shared.identify(message, lease)
        self._permits.need(QUEUE_RECEIVE, queue)
        once = once_of(idempotency_key, "ack", message_id, known_lease)
        await self._service.queue.ack(message_id, known_lease, once, strict=strict, queue=queue)

    async def nack_message(
        self,
        message: QueueMessage[Any] | str,
        error: str | None = None,
        *,
        delay: Duration | None = None,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Give a message back; after the last attempt it becomes a dead letter with `error`."""
        message_id, known_lease, queue = shared.identify(message, lease)
        self._permits.need(QUEUE_RECEIVE, queue)
        pause = None if delay is None else milliseconds("delay", delay)
        said = _said(error)
        once = once_of(idempotency_key, "nack", message_id, known_lease, said, pause)
        await self._service.queue.nack(
            message_id,
            error=said,
            delay_ms=pause,
            lease=known_lease,
            once=once,
            strict=strict,
            queue=queue,
        )

    async def release_message(
        self,
        message: QueueMessage[Any] | str,
        *,
        lease: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Give a message back as if it had not been delivered: it is no attempt."""
        message_id, known_lease, queue = shared.identify(message, lease)
        self._permits.need(QUEUE_RECEIVE, queue)
        if not known_lease:
            raise InvalidInput("lease must be a non-empty string")
        once = once_of(idempotency_key, "release", message_id, known_lease)
        await self._service.queue.release(message_id, known_lease, once, queue=queue)

    async def extend_message(
        self,
        message: QueueMessage[Any] | str,
        duration: Duration | None = None,
        *,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Prolong the lease of a message to `duration` from now, or `queue.lockDuration`."""
        message_id, known_lease, queue = shared.identify(message, lease)
        self._permits.need(QUEUE_RECEIVE, queue)
        once = once_of(idempotency_key, "extend", message_id, known_lease, duration)
        await self._service.queue.extend(
            message_id, known_lease, lease_ms(duration), once, strict=strict, queue=queue
        )

    def listen_queue(
        self,
        handler: Handler | None = None,
        *,
        queue: str = "",
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        auto_ack: bool = True,
        concurrency: int = 1,
        on_error: ErrorHandler | None = None,
    ) -> AsyncQueueListener:
        """Consume a queue, with a handler or by iterating, until the listener is stopped.

        Up to `concurrency` messages are processed at a time. Delivery is at least once: a message
        whose handler takes longer than `queue.lockDuration` comes again. `on_error` is called with
        failures of handlers; without it they are logged. There is no network to wait for, so
        `mode` and `poll_interval` have no effect.
        """
        return self._listen(
            handler,
            None,
            queue=queue,
            mode=mode,
            poll_interval=poll_interval,
            auto_ack=auto_ack,
            concurrency=concurrency,
            on_error=on_error,
        )

    def _listen(
        self,
        handler: Handler | None,
        read: Callable[[Any], Any] | None,
        *,
        queue: str,
        mode: Mode,
        poll_interval: Duration,
        auto_ack: bool,
        concurrency: int,
        on_error: ErrorHandler | None,
    ) -> AsyncQueueListener:
        """Do `listen_queue` with values that a function makes."""
        name = checked_queue("queue", queue)
        self._permits.need(QUEUE_RECEIVE, name or None)
        check_mode(mode, poll_interval)
        if auto_ack and handler is None and concurrency != 1:
            raise InvalidInput("Iterating with concurrency needs auto_ack=False")
        messages = LocalMessages(
            self._service.queue,
            self._service.dispatcher,
            name,
            concurrency=shared.checked_concurrency(concurrency),
        )
        flow = AsyncListenerFlow(
            messages,
            read=read,
            handler=handler,
            auto_ack=auto_ack,
            concurrency=concurrency,
            on_error=on_error,
        )
        self._remember(flow)
        return AsyncQueueListener(flow)

    async def queue_stats(self, queue: str = "") -> QueueStats:
        """The number of messages of a queue in each state."""
        name = checked_queue("queue", queue)
        self._permits.need(QUEUE_ADMIN, name or None)
        return await self._service.queue.stats(name)


def _said(error: str | None) -> str | None:
    return None if error is None else checked_error("error", error, as_written)
