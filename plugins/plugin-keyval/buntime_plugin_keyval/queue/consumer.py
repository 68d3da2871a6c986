"""Running a handler of this process for each message."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_keyval.wire import decode_value

from buntime_plugin_keyval.errors import StaleLease
from buntime_plugin_keyval.queue.listener import Listener
from buntime_plugin_keyval.queue.messages import Message
from buntime_plugin_keyval.queue.queue import Queue


class QueueMessage(msgspec.Struct, frozen=True):
    """A delivered message."""

    id: str
    value: Any
    attempts: int
    """Deliveries so far, this one included."""
    lease: str
    """Names this delivery."""

    @classmethod
    def of(cls, message: Message) -> QueueMessage:
        """The message with its value decoded."""
        return cls(message.id, decode_value(message.value), message.attempts, message.lease)


Handler = Callable[[QueueMessage], Awaitable[None] | None]
ErrorHandler = Callable[[Exception, QueueMessage], Awaitable[None] | None]


class Consumer:
    """Takes messages from a listener until it is stopped or the listener is closed."""

    def __init__(
        self,
        queue: Queue,
        listener: Listener,
        handler: Handler,
        on_error: ErrorHandler | None,
        concurrency: int,
    ) -> None:
        self._queue = queue
        self._listener = listener
        self._handler = handler
        self._on_error = on_error
        self._concurrency = concurrency
        self._running: set[asyncio.Task[None]] = set()
        self._task = asyncio.create_task(self._run(), name="keyval-consumer")

    def end(self) -> None:
        """Take no further message."""
        self._listener.close()

    async def stop(self) -> None:
        """Take no further message and wait for the handlers, except for one that calls this."""
        self.end()
        current = asyncio.current_task()
        if current not in self._running:
            await asyncio.wait({self._task})
        elif others := self._running - {current}:
            await asyncio.wait(others)

    async def _run(self) -> None:
        try:
            while True:
                if len(self._running) >= self._concurrency:
                    await asyncio.wait(self._running, return_when=asyncio.FIRST_COMPLETED)
                message = await self._listener.next()
                if message is None:
                    break
                self._listener.sent()
                task = asyncio.create_task(self._handle(message))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
        finally:
            self._listener.close()
            if self._running:
                await asyncio.wait(self._running)

    async def _handle(self, message: Message) -> None:
        decoded = QueueMessage.of(message)
        try:
            await _call(self._handler, decoded)
        except Exception as error:  # noqa: BLE001 - whatever it is, the message goes back
            await self._report(error, decoded)
            text = str(error) or type(error).__name__
            await self._settle(self._queue.nack(message.id, error=text, lease=message.lease))
        else:
            await self._settle(self._queue.ack(message.id, message.lease))

    async def _report(self, error: Exception, message: QueueMessage) -> None:
        if self._on_error is None:
            self._queue.logger.warning("Queue handler failed for message %s: %r", message.id, error)
            return
        try:
            await _call(self._on_error, error, message)
        except Exception:
            self._queue.logger.exception("on_error failed for message %s", message.id)

    async def _settle(self, work: Awaitable[None]) -> None:
        try:
            await work
        except StaleLease:
            self._queue.logger.warning("A message was handled for longer than queue.lockDuration")
        except DatabaseError as error:
            # It will be delivered again once its lease ends.
            self._queue.logger.warning("A handled message could not be settled: %s", error)


async def _call(function: Callable[..., Awaitable[None] | None], *args: object) -> None:
    outcome = function(*args)
    if inspect.isawaitable(outcome):
        await outcome
