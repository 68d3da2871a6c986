"""The queue listener of `AsyncKv`."""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from buntime_keyval._calls import queue as calls
from buntime_keyval._calls.queue import Message
from buntime_keyval._errors import KvError
from buntime_keyval._follow import ErrorHandler, Reconnects, follow, logger, report
from buntime_keyval._messages import SHUTDOWN_ERROR, ListenPlan, Seen, error_text
from buntime_keyval._retries import is_passing
from buntime_keyval._session import AsyncSession


class AsyncDelivery:
    """A message in the hands of this consumer, to be settled with `ack` or `nack`."""

    def __init__(self, message: Message, listener: AsyncQueueListener) -> None:
        self._message = message
        self._listener = listener
        self.settled = False
        """Whether `ack` or `nack` was called."""

    @property
    def id(self) -> str:
        """Names the message in all its deliveries."""
        return self._message.id

    @property
    def value(self) -> Any:
        """What was sent."""
        return self._message.value

    @property
    def attempts(self) -> int:
        """Deliveries so far, this one included."""
        return self._message.attempts

    async def ack(self) -> None:
        """The message is processed: remove it. Raises `KvError` if the server cannot be told."""
        if not self.settled:
            self.settled = True
            await self._listener._ack(self._message)

    async def nack(self, error: str | None = None, *, delay: float | str | None = None) -> None:
        """Give the message back; after the last attempt it becomes a dead letter with `error`.

        `delay` replaces the pause of the message's schedule.
        """
        if not self.settled:
            self.settled = True
            await self._listener._nack(self._message, error, delay)

    async def extend(self, duration: float | str | None = None) -> None:
        """Keep the message for `duration` from now, or for the server's lock duration.

        For work that takes longer than that. Raises `StaleLease` when it is too late: somebody else
        has the message.
        """
        await self._listener._extend(self._message, duration)


Handler = Callable[[AsyncDelivery], Awaitable[Any] | Any]


class AsyncQueueListener:
    """A running consumer of the queue: with a handler, or iterated over.

    With a handler each message is settled by what the handler does: it returns, and the message is
    gone; it raises, and the message comes again later. Iterating, asking for the next message
    acknowledges the one before, and an exception that leaves the `async with` block gives it back.
    With `auto_ack=False` neither happens: call `ack` or `nack` of the message.
    """

    def __init__(
        self,
        session: AsyncSession,
        *,
        handler: Handler | None,
        polling: bool,
        poll_seconds: float,
        auto_ack: bool,
        concurrency: int,
        on_error: ErrorHandler | None,
    ) -> None:
        self._session = session
        self._handler = handler
        self._auto_ack = auto_ack
        self._concurrency = concurrency
        self._on_error = on_error
        self._seen = Seen()
        self._slots = asyncio.Semaphore(concurrency)
        self._arrived = asyncio.Condition()
        self._waiting: deque[AsyncDelivery] = deque()
        self._current: AsyncDelivery | None = None
        self._running: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._error: Exception | None = None
        self._poll_seconds = poll_seconds if polling else None
        self._reader = asyncio.create_task(self._read(), name="kv-queue")

    @property
    def closed(self) -> bool:
        """Whether it takes no more messages."""
        return self._stopping

    @property
    def error(self) -> Exception | None:
        """What ended it, if not `stop`."""
        return self._error

    async def stop(self, timeout: float | None = None) -> None:
        """Take no more messages and let running handlers finish and settle. Idempotent.

        After `timeout` seconds the handlers that are left are cancelled; their messages go back to
        the queue.
        """
        await self._close()
        others = self._running - {asyncio.current_task()}
        if others:
            _, late = await asyncio.wait(others, timeout=timeout)
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
        # Only now: the end of the stream makes the server deliver unsettled messages again.
        self._reader.cancel()
        await asyncio.wait({self._reader})

    async def wait(self) -> None:
        """Wait until it ends. Raises the error that ended it."""
        await asyncio.wait({self._reader})
        if self._running:
            await asyncio.wait(self._running)
        self._raise()

    async def __aenter__(self) -> AsyncQueueListener:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        await self._close()  # what comes after this settlement is not for this listener
        try:
            if self._auto_ack and self._current is not None:
                if error is None:
                    await self._current.ack()
                else:
                    await self._current.nack(error_text(error))
        finally:
            await self.stop()
        if kind is None:
            self._raise()

    def __aiter__(self) -> AsyncIterator[AsyncDelivery]:
        if self._handler is not None:
            raise RuntimeError("This listener has a handler: it cannot be iterated over too")
        return self

    async def __anext__(self) -> AsyncDelivery:
        if self._auto_ack and self._current is not None:
            current, self._current = self._current, None
            await current.ack()
        async with self._arrived:
            await self._arrived.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                self._raise()
                raise StopAsyncIteration
            self._current = self._waiting.popleft()
            return self._current

    async def _read(self) -> None:
        try:
            if self._poll_seconds is None:
                await self._follow()
            else:
                await self._poll(self._poll_seconds)
        except Exception as error:  # noqa: BLE001 - whoever takes the messages gets it
            self._error = error
            if self._handler is not None:
                logger.error("A queue listener ended: %s", error)
                await report(error, self._on_error)
        finally:
            await self._close()

    async def _follow(self) -> None:
        async def deliver(message: Message) -> None:
            await self._slots.acquire()
            await self._take(message)

        await follow(self._session, ListenPlan(self._concurrency), deliver, self._on_error)

    async def _poll(self, poll_seconds: float) -> None:
        reconnects = Reconnects()
        while True:
            await self._slots.acquire()
            if self._stopping:
                return
            try:
                message = await self._session.send(calls.poll())
            except KvError as error:
                self._slots.release()
                if not is_passing(error):
                    raise
                await report(error, self._on_error)
                await asyncio.sleep(reconnects.pause())
                continue
            reconnects.opened()
            if message is None:
                self._slots.release()
                await asyncio.sleep(poll_seconds)
            else:
                await self._take(message)

    async def _take(self, message: Message) -> None:
        """Process a message, in the slot that was acquired for it."""
        if self._stopping or not self._seen.hold(message):
            self._slots.release()
            return
        delivery = AsyncDelivery(message, self)
        if self._seen.was_processed(message.id):
            await self._quietly(delivery.ack())
        elif self._handler is None:
            async with self._arrived:
                self._waiting.append(delivery)
                self._arrived.notify_all()
        else:
            task = asyncio.create_task(self._handle(self._handler, delivery))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _handle(self, handler: Handler, delivery: AsyncDelivery) -> None:
        try:
            outcome = handler(delivery)
            if inspect.isawaitable(outcome):
                await outcome
        except asyncio.CancelledError:
            await self._quietly(delivery.nack(SHUTDOWN_ERROR, delay=0))
            raise
        except Exception as error:  # noqa: BLE001 - the message comes again
            logger.warning("The handler of message %s failed", delivery.id, exc_info=error)
            if self._on_error is not None:
                await report(error, self._on_error)
            if self._auto_ack:
                await self._quietly(delivery.nack(error_text(error)))
        else:
            if self._auto_ack:
                await self._quietly(delivery.ack())
        if not delivery.settled:
            # The handler left that to others: its part of the work is done.
            self._release(delivery.id)

    async def _quietly(self, settling: Awaitable[None]) -> None:
        """Settle; a failure means that the message comes again."""
        try:
            await settling
        except KvError as error:
            await report(error, self._on_error)

    async def _ack(self, message: Message) -> None:
        # Without a lease: it is processed, whoever has it by now.
        self._seen.processed(message.id)
        try:
            await self._session.send(calls.ack(message.id, None))
        finally:
            self._release(message.id)

    async def _extend(self, message: Message, duration: float | str | None) -> None:
        lease = self._seen.lease(message.id) or message.lease
        await self._session.send(calls.extend(message.id, lease, duration))

    async def _nack(self, message: Message, error: str | None, delay: float | str | None) -> None:
        lease = self._seen.lease(message.id)
        try:
            await self._session.send(calls.nack(message.id, lease, error, delay))
        finally:
            self._release(message.id)

    def _release(self, message_id: str) -> None:
        if self._seen.release(message_id):
            self._slots.release()

    async def _close(self) -> None:
        async with self._arrived:
            self._stopping = True
            self._arrived.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
