"""The client's methods for single messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buntime_keyval._async.session import AsyncSession
from buntime_keyval._calls import queue as queue_calls
from buntime_keyval._calls.queue import identify
from buntime_keyval._results import EnqueueResult, QueueMessage, QueueStats
from buntime_keyval.wire import Duration, KeyLike


class AsyncKvQueue:
    """Sending, taking and settling of messages; a listener does it by itself."""

    _session: AsyncSession

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
        """Send a message.

        `delay` holds it back. `backoff_schedule` are the pauses before further deliveries, and so
        also their number (1 s, 5 s, 10 s unless given). When the last has failed, the message is a
        dead letter and its value is stored at each of `keys_if_undelivered`. `queue`
        names the queue that it goes to. Each step of `priority`, from -10 to 10, goes before what
        became ready up to a minute earlier. In a day nothing else is sent under the same `id`; it
        names the message.
        """
        call = queue_calls.enqueue(
            value, delay, backoff_schedule, keys_if_undelivered, queue, priority, id
        )
        return await self._session.send(call, idempotency_key)

    async def dequeue(self, queue: str = "") -> QueueMessage[Any] | None:
        """Take one message of a queue, or None; settle it with `ack_message` or `nack_message`."""
        return await self._session.send(queue_calls.poll(queue))

    async def ack_message(
        self,
        message: QueueMessage[Any] | str,
        *,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Remove a processed message, given as such or by its id.

        Raises `StaleLease` if the message, or `lease`, is of a delivery that is not the last one,
        and if `strict`, `NotFound` for an id that the queue does not have.
        """
        message_id, known_lease, queue = identify(message, lease)
        await self._session.send(
            queue_calls.ack(message_id, known_lease, queue=queue, strict=strict), idempotency_key
        )

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
        """Give a message back; after the last attempt it becomes a dead letter with `error`.

        `delay` replaces the pause of the message's schedule. Raises what `ack_message` does.
        """
        message_id, known_lease, queue = identify(message, lease)
        await self._session.send(
            queue_calls.nack(message_id, known_lease, error, delay, queue=queue, strict=strict),
            idempotency_key,
        )

    async def release_message(
        self,
        message: QueueMessage[Any] | str,
        *,
        lease: str | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Give a message back as if it had not been delivered: no attempt is lost.

        Needs the lease, be it of the message. Raises `StaleLease` as `ack_message`.
        """
        message_id, known_lease, queue = identify(message, lease)
        call = queue_calls.release(message_id, known_lease, queue=queue)
        await self._session.send(call, idempotency_key)

    async def extend_message(
        self,
        message: QueueMessage[Any] | str,
        duration: Duration | None = None,
        *,
        lease: str | None = None,
        strict: bool = False,
        idempotency_key: str | None = None,
    ) -> None:
        """Keep a message for `duration` from now, or for the server's lock duration.

        Raises `StaleLease` when it is too late: it was delivered again, or settled. If `strict`,
        an id alone that the queue does not have is `NotFound`.
        """
        message_id, known_lease, queue = identify(message, lease)
        call = queue_calls.extend(message_id, known_lease, duration, queue=queue, strict=strict)
        await self._session.send(call, idempotency_key)

    async def queue_stats(self, queue: str = "") -> QueueStats:
        """The number of messages of a queue in each state."""
        return await self._session.send(queue_calls.stats(queue))
