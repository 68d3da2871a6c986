"""Administration of queues, `kv.queues`, and one queue with messages of one type, `kv.queue`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from buntime_keyval._async.kv_queue import AsyncKvQueue
from buntime_keyval._async.listen import AsyncQueueListener, Handler
from buntime_keyval._async.session import AsyncSession
from buntime_keyval._calls import queues as calls
from buntime_keyval._calls.queues import Messages, Page, Rate
from buntime_keyval._errors import InvalidValue
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._results import (
    DeleteResult,
    EnqueueResult,
    QueueInfo,
    QueueMessage,
    QueueOptions,
    QueueStats,
)
from buntime_keyval._typed import Scope
from buntime_keyval._watching import Mode
from buntime_keyval.wire import Duration, KeyLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT
from buntime_keyval.wire.names import checked_queue

T = TypeVar("T")
Infos = list[QueueInfo]


class AsyncQueues:
    """All queues of a store: their settings, and their contents without taking any."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def list(self, *, limit: int = DEFAULT_LIMIT) -> Infos:
        """Queues that are in use, by their names; at most 1000."""
        return await self._session.send(calls.names(limit))

    async def peek(self, queue: str = "", *, limit: int = 1) -> Messages:
        """The next messages of a queue, in the order of delivery; they stay where they are."""
        return await self._session.send(calls.peek(queue, limit))

    async def paginate(
        self, queue: str = "", *, cursor: str | None = None, limit: int = DEFAULT_LIMIT
    ) -> Page:
        """Messages of a queue in any state, as they were sent; `cursor` is of the page before.

        A page may be short, or empty, where a queue has few messages of very many.
        """
        return await self._session.send(calls.page(queue, cursor, limit))

    async def pause(self, queue: str = "", *, idempotency_key: str | None = None) -> None:
        """Pause the deliveries of a queue on all hosts; delivered messages can still be settled."""
        await self._session.send(calls.pause(queue, is_paused=True), idempotency_key)

    async def resume(self, queue: str = "", *, idempotency_key: str | None = None) -> None:
        """Deliver again."""
        await self._session.send(calls.pause(queue, is_paused=False), idempotency_key)

    async def purge(self, queue: str = "", *, idempotency_key: str | None = None) -> DeleteResult:
        """Delete all messages of a queue, including those being processed; dead letters stay."""
        return DeleteResult(await self._session.send(calls.purge(queue), idempotency_key))

    async def options(self, queue: str = "") -> QueueOptions:
        """The settings of a queue."""
        return await self._session.send(calls.options(queue))

    async def set_options(
        self,
        queue: str = "",
        *,
        lease: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        max_running: int | None = None,
        rate: Rate | None = None,
        idempotency_key: str | None = None,
    ) -> None:
        """Set how a queue delivers, on all hosts; limits that are not given are removed.

        `lease` is how long a consumer has for a message, `backoff_schedule` that of messages that
        are sent without one. At most `max_running` messages are delivered and unsettled at a time,
        and `rate`, such as `(100, "1m")`, limits how many are delivered in any period of that
        length.
        """
        wanted = calls.wanted_options(lease, backoff_schedule, max_running, rate)
        await self._session.send(calls.set_options(queue, wanted), idempotency_key)


class AsyncMessaging(AsyncKvQueue):
    """The part of `AsyncKv` that works on messages; a store in this process has the same."""

    def _listen(self, *args: Any, **options: Any) -> AsyncQueueListener:
        raise NotImplementedError  # the client and the store in this process each have one


class AsyncMessageQueue(Generic[T]):
    """One queue, with messages of one type: sent values are checked, received ones converted."""

    def __init__(self, kv: AsyncMessaging, name: str, type: type[T] | None) -> None:
        self._kv = kv
        self.name = checked_queue("queue", name)
        self._scope = Scope((), type, None)

    async def enqueue(
        self,
        value: T,
        *,
        delay: Duration | None = None,
        backoff_schedule: Sequence[Duration] | None = None,
        keys_if_undelivered: Sequence[KeyLike] | None = None,
        priority: int = 0,
        id: str | None = None,
        idempotency_key: str | None = None,
    ) -> EnqueueResult:
        """Send a message, as `Kv.enqueue`. Raises `InvalidValue` if it is not of the type."""
        return await self._kv.enqueue(
            self._scope.check(value),
            delay=delay,
            backoff_schedule=backoff_schedule,
            keys_if_undelivered=keys_if_undelivered,
            queue=self.name,
            priority=priority,
            id=id,
            idempotency_key=idempotency_key,
        )

    async def dequeue(self) -> QueueMessage[T] | None:
        """Take one message, or None; settle it with `ack_message` or `nack_message` of `kv`.

        Raises `InvalidValue` for a message that is not of the type, whose lease then runs out.
        """
        message = await self._kv.dequeue(self.name)
        return None if message is None else replace(message, value=self._read(message.value))

    def listen(
        self,
        handler: Handler | None = None,
        *,
        mode: Mode = "sse",
        poll_interval: Duration = 1000,
        auto_ack: bool = True,
        concurrency: int = 1,
        on_error: ErrorHandler | None = None,
    ) -> AsyncQueueListener:
        """Consume the queue, as `Kv.listen_queue`.

        A message that is not of the type is given back with the reason, until it is a dead letter.
        """
        return self._kv._listen(
            handler,
            self._read,
            queue=self.name,
            mode=mode,
            poll_interval=poll_interval,
            auto_ack=auto_ack,
            concurrency=concurrency,
            on_error=on_error,
        )

    async def stats(self) -> QueueStats:
        """The number of messages in each state."""
        return await self._kv.queue_stats(self.name)

    def _read(self, value: Any) -> T:
        try:
            return self._scope.convert(value)
        except msgspec.ValidationError as error:
            raise InvalidValue(
                f"The message is not of type {self._scope.type_name}: {error}"
            ) from error
