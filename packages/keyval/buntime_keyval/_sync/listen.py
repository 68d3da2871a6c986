# Made by scripts/unasync from _async/listen.py: change that one.
"""The queue listener."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from msgspec.structs import replace

from buntime_keyval._calls.queue import Message
from buntime_keyval._errors import InvalidValue
from buntime_keyval._messages import SHUTDOWN_ERROR, Seen
from buntime_keyval._reports import ErrorHandler, logger
from buntime_keyval._sync.concurrency import (
    JOIN_SECONDS,
    Cancelled,
    Condition,
    SideBySide,
    Task,
    call,
    when_dropped,
)
from buntime_keyval._sync.handle import Handle
from buntime_keyval._sync.reports import report
from buntime_keyval.wire import Duration
from buntime_keyval.wire.failures import error_text


class Messages(Protocol):
    """The source of a listener's messages, which also takes its settlements.

    `draining` tells it with a settlement that the listener takes no more messages.
    """

    def feed(self, has_room: Callable[[], bool], deliver: Callable[[Message], bool]) -> None:
        """Deliver messages, for as long as there may be any.

        `has_room` waits until one can be taken, and is False when no more are wanted; `deliver` is
        False for a message that was not taken.
        """

    def ack(self, message_id: str, *, draining: bool) -> None:
        """The message was processed."""

    def nack(
        self,
        message_id: str,
        lease: str | None,
        error: str | None,
        delay: Duration | None,
        *,
        draining: bool,
    ) -> None:
        """The message is to be delivered again."""

    def release(self, message_id: str, lease: str | None, *, draining: bool) -> None:
        """The message was not begun."""

    def extend(self, message_id: str, lease: str | None, duration: Duration | None) -> None:
        """The message takes longer."""


class Delivery:
    """A message in the hands of this consumer: settle it with `ack`, `nack` or `release`."""

    def __init__(self, message: Message, listener: ListenerFlow) -> None:
        self._message = message
        self._listener = listener
        self.settled = False
        """Whether `ack`, `nack` or `release` was called."""

    @property
    def id(self) -> str:
        """Identifies the message in all its deliveries."""
        return self._message.id

    @property
    def value(self) -> Any:
        """The value that was sent."""
        return self._message.value

    @property
    def attempts(self) -> int:
        """Deliveries so far, this one included."""
        return self._message.attempts

    @property
    def queue(self) -> str:
        """The name of its queue; empty for the default queue."""
        return self._message.queue

    def ack(self) -> None:
        """Remove the processed message. Raises `KvError` if the server cannot be reached."""
        if not self.settled:
            self.settled = True
            self._listener._ack(self._message)

    def nack(self, error: str | None = None, *, delay: Duration | None = None) -> None:
        """Give the message back; after the last attempt it becomes a dead letter with `error`.

        `delay` replaces the pause of the message's schedule.
        """
        if not self.settled:
            self.settled = True
            self._listener._nack(self._message, error, delay)

    def release(self) -> None:
        """Give the message back as if it had not been delivered: no attempt is counted."""
        if not self.settled:
            self.settled = True
            self._listener._hand_back(self._message)

    def extend(self, duration: Duration | None = None) -> None:
        """Keep the message for `duration` from now, or for the server's lock duration.

        For work that takes longer than that. Raises `StaleLease` when it is too late: another
        consumer has the message.
        """
        self._listener._extend(self._message, duration)


Handler = Callable[[Delivery], Any]
"""Processes one message, which is settled by how that ends."""


class ListenerFlow:
    """The engine of a listener. It knows nothing of the handle, so that the handle can be
    dropped.
    """

    def __init__(
        self,
        messages: Messages,
        *,
        read: Callable[[Any], Any] | None = None,
        handler: Handler | None,
        auto_ack: bool,
        concurrency: int,
        on_error: ErrorHandler | None,
    ) -> None:
        """`read` converts the values of messages; its exceptions give a message back."""
        self._messages = messages
        self.handler = handler
        self._auto_ack = auto_ack
        self._on_error = on_error
        self._seen = Seen()
        self._read_value = read
        self._free = concurrency
        self._changed = Condition()
        self._waiting: deque[Delivery] = deque()
        self._current: Delivery | None = None
        self._workers = SideBySide(concurrency, name="kv-queue-handler")
        self.closed = False
        self.error: Exception | None = None
        self._reader = Task(self._read, name="kv-queue")

    def stop(self, timeout: float | None = None) -> None:
        """See `QueueListener`."""
        self._close()
        self._workers.stop(timeout)
        with self._changed:
            untouched = [*self._waiting]
            self._waiting.clear()
        for delivery in untouched:
            self._quietly(delivery.release)
        # Only now: the end of the stream makes the server deliver unsettled messages again.
        self._reader.cancel()
        self._reader.join(JOIN_SECONDS)

    def wait(self, timeout: float | None) -> None:
        """Wait until it ends, at most `timeout` seconds."""
        self._reader.join(timeout)
        self._workers.wait(timeout)

    def leave(self, error: BaseException | None) -> None:
        """Settle the last message given out, at the end of a block, and stop."""
        self._close()  # what comes after this settlement is not for this listener
        try:
            if self._auto_ack and self._current is not None:
                if error is None:
                    self._current.ack()
                else:
                    self._current.nack(error_text(error))
        finally:
            self.stop()

    def take(self) -> Delivery | None:
        """The next message, which settles the one before; None at the end."""
        if self._auto_ack and self._current is not None:
            current, self._current = self._current, None
            current.ack()
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self.closed)
            if self.closed:
                return None
            self._current = self._waiting.popleft()
            return self._current

    def _read(self) -> None:
        try:
            self._messages.feed(self._has_room, self._take)
        except Exception as error:  # noqa: BLE001 - raised where the messages are taken
            self.error = error
            if self.handler is not None:
                logger.error("A queue listener ended: %s", error)
                report(error, self._on_error)
        finally:
            self._close()

    def _has_room(self) -> bool:
        with self._changed:  # only the reader takes a slot
            self._changed.wait_for(lambda: self._free > 0 or self.closed)
            return not self.closed

    def _take(self, message: Message) -> bool:
        """Process a message as soon as there is a slot; False if it is not this listener's."""
        self._has_room()
        wrong: Exception | None = None
        if self._read_value is not None:
            try:
                message = replace(message, value=self._read_value(message.value))
            except InvalidValue as error:
                wrong = error
        delivery = Delivery(message, self)
        with self._changed:
            if not self._seen.hold(message):
                return True
            self._free -= 1
            processed = self._seen.was_processed(message.id)
            if not (processed or self.closed or wrong):
                if self.handler is None:
                    self._waiting.append(delivery)
                    self._changed.notify_all()
                else:
                    self._workers.start(self._handle, self.handler, delivery)
                return True
        if wrong is not None and not processed:
            report(wrong, self._on_error)
            self._quietly(delivery.nack, error_text(wrong))
            return True
        self._quietly(delivery.ack if processed else delivery.release)
        return processed

    def _handle(self, handler: Handler, delivery: Delivery) -> None:
        try:
            call(handler, delivery)
        except Cancelled:
            self._quietly(delivery.nack, SHUTDOWN_ERROR, delay=0)
            raise
        except Exception as error:  # noqa: BLE001 - the message comes again
            logger.warning("The handler of message %s failed", delivery.id, exc_info=error)
            if self._on_error is not None:
                report(error, self._on_error)
            if self._auto_ack:
                self._quietly(delivery.nack, error_text(error))
        else:
            if self._auto_ack:
                self._quietly(delivery.ack)
        if not delivery.settled:
            # The handler left that to others: its part of the work is done.
            self._release(delivery.id)

    def _quietly(self, settle: Callable[..., None], *args: Any, **options: Any) -> None:
        """Settle; a failure means that the message comes again."""
        try:
            settle(*args, **options)
        except Exception as error:  # noqa: BLE001 - whatever it is, the listener goes on
            report(error, self._on_error)

    def _ack(self, message: Message) -> None:
        self._seen.processed(message.id)
        try:
            self._messages.ack(message.id, draining=self.closed)
        finally:
            self._release(message.id)

    def _extend(self, message: Message, duration: Duration | None) -> None:
        lease = self._seen.lease(message.id) or message.lease
        self._messages.extend(message.id, lease, duration)

    def _nack(self, message: Message, error: str | None, delay: Duration | None) -> None:
        lease = self._seen.lease(message.id)
        try:
            self._messages.nack(message.id, lease, error, delay, draining=self.closed)
        finally:
            self._release(message.id)

    def _hand_back(self, message: Message) -> None:
        lease = self._seen.lease(message.id)
        try:
            self._messages.release(message.id, lease, draining=self.closed)
        finally:
            self._release(message.id)

    def _release(self, message_id: str) -> None:
        with self._changed:
            if self._seen.release(message_id):
                self._free += 1
                self._changed.notify_all()

    def _close(self) -> None:
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class QueueListener(Handle[ListenerFlow]):
    """A running consumer of the queue: with a handler, or iterated over.

    With a handler, the end of the handler settles the message: if it returns, the message is
    removed; if it raises, the message comes again later. While iterating, asking for the next
    message acknowledges the previous one, and an exception that leaves the `with` block gives
    it back. With `auto_ack=False` neither happens: call `ack`, `nack` or `release`. One without a
    handler also stops when nobody has it any more, and its messages go back.
    """

    def __init__(self, flow: ListenerFlow) -> None:
        self._flow = flow
        if flow.handler is None:
            when_dropped(self, flow.stop)

    def stop(self, timeout: float | None = None) -> None:
        """Take no more messages and let running handlers finish and settle. Idempotent.

        After `timeout` seconds the coroutines that are left are cancelled, and their messages go
        back to the queue; threads go on, and settle, while their messages may be delivered again.
        """
        self._flow.stop(timeout)

    def __enter__(self) -> QueueListener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        self._flow.leave(error)
        if kind is None:
            self._raise()

    def __iter__(self) -> Iterator[Delivery]:
        if self._flow.handler is not None:
            raise RuntimeError("This listener has a handler: it cannot be iterated over too")
        return self

    def __next__(self) -> Delivery:
        delivery = self._flow.take()
        if delivery is None:
            self._raise()
            raise StopIteration
        return delivery
