"""The queue listener of `Kv`: threads in the place of tasks."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Any

from buntime_keyval._calls import queue as calls
from buntime_keyval._calls.queue import Message
from buntime_keyval._errors import KvError
from buntime_keyval._follow import Reconnects, StopSignal, follow_blocking
from buntime_keyval._messages import ListenPlan, Seen, error_text
from buntime_keyval._reports import ErrorHandler, logger, report_blocking
from buntime_keyval._retries import is_passing
from buntime_keyval._session import Session
from buntime_keyval.wire import Duration

_JOIN_SECONDS = 5.0


class Delivery:
    """A message in the hands of this consumer: settle it with `ack`, `nack` or `release`."""

    def __init__(self, message: Message, listener: QueueListener) -> None:
        self._message = message
        self._listener = listener
        self.settled = False
        """Whether `ack`, `nack` or `release` was called."""

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

    def ack(self) -> None:
        """The message is processed: remove it. Raises `KvError` if the server cannot be told."""
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
        """Give the message back as if it had not been delivered: no attempt is lost."""
        if not self.settled:
            self.settled = True
            self._listener._hand_back(self._message)

    def extend(self, duration: Duration | None = None) -> None:
        """Keep the message for `duration` from now, or for the server's lock duration.

        For work that takes longer than that. Raises `StaleLease` when it is too late: somebody else
        has the message.
        """
        self._listener._extend(self._message, duration)


Handler = Callable[[Delivery], Any]


class QueueListener:
    """A running consumer of the queue: with a handler, or iterated over.

    With a handler, which runs in threads of its own, each message is settled by what the handler
    does: it returns, and the message is gone; it raises, and the message comes again later.
    Iterating, asking for the next message acknowledges the one before, and an exception that
    leaves the `with` block gives it back. With `auto_ack=False` neither happens: call `ack`,
    `nack` or `release`.
    """

    def __init__(
        self,
        session: Session,
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
        self._poll_seconds = poll_seconds if polling else None
        self._seen = Seen()
        self._free = concurrency
        self._changed = threading.Condition()
        self._waiting: deque[Delivery] = deque()
        self._current: Delivery | None = None
        self._workers = ThreadPoolExecutor(concurrency, thread_name_prefix="kv-queue-handler")
        self._running: set[Future[None]] = set()
        self._stopping = False
        self._stop = StopSignal()
        self._error: Exception | None = None
        self._reader = threading.Thread(target=self._read, name="kv-queue", daemon=True)
        self._reader.start()

    @property
    def closed(self) -> bool:
        """Whether it takes no more messages."""
        return self._stopping

    @property
    def error(self) -> Exception | None:
        """What ended it, if not `stop`."""
        return self._error

    def stop(self, timeout: float | None = None) -> None:
        """Take no more messages and let running handlers finish and settle. Idempotent.

        Waits at most `timeout` seconds for the handlers; threads cannot be cancelled, so later
        ones go on, and settle, while their messages may already be delivered again.
        """
        self._close()
        if not threading.current_thread().name.startswith("kv-queue-handler"):
            wait_for(set(self._running), timeout)
        with self._changed:
            untouched = list(self._waiting)
            self._waiting.clear()
        for delivery in untouched:
            self._quietly(delivery.release)
        # Only now: the end of the stream makes the server deliver unsettled messages again.
        self._stop.give()
        if threading.current_thread() is not self._reader:
            self._reader.join(_JOIN_SECONDS)
        self._workers.shutdown(wait=False)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it ends, at most `timeout` seconds. Raises the error that ended it."""
        self._reader.join(timeout)
        self._raise()

    def __enter__(self) -> QueueListener:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: object
    ) -> None:
        self._close()  # what comes after this settlement is not for this listener
        try:
            if self._auto_ack and self._current is not None:
                if error is None:
                    self._current.ack()
                else:
                    self._current.nack(error_text(error))
        finally:
            self.stop()
        if kind is None:
            self._raise()

    def __iter__(self) -> Iterator[Delivery]:
        if self._handler is not None:
            raise RuntimeError("This listener has a handler: it cannot be iterated over too")
        return self

    def __next__(self) -> Delivery:
        if self._auto_ack and self._current is not None:
            current, self._current = self._current, None
            current.ack()
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._stopping)
            if self._stopping:
                self._raise()
                raise StopIteration
            self._current = self._waiting.popleft()
            return self._current

    def _read(self) -> None:
        try:
            if self._poll_seconds is None:
                plan = ListenPlan(self._concurrency)
                follow_blocking(self._session, plan, self._deliver, self._on_error, self._stop)
            else:
                self._poll(self._poll_seconds)
        except Exception as error:  # noqa: BLE001 - whoever takes the messages gets it
            self._error = error
            if self._handler is not None:
                logger.error("A queue listener ended: %s", error)
                report_blocking(error, self._on_error)
        finally:
            self._close()

    def _deliver(self, message: Message) -> None:
        self._acquire()
        self._take(message)

    def _poll(self, poll_seconds: float) -> None:
        reconnects = Reconnects()
        while self._acquire():
            try:
                message = self._session.send(calls.poll())
            except KvError as error:
                self._free_slot()
                if not is_passing(error):
                    raise
                report_blocking(error, self._on_error)
                self._stop.wait(reconnects.pause())
                continue
            reconnects.opened()
            if message is None:
                self._free_slot()
                self._stop.wait(poll_seconds)
            else:
                self._take(message)

    def _acquire(self) -> bool:
        """Wait for a free slot; False when there is no more to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0 or self._stopping)
            if self._stopping:
                return False
            self._free -= 1
            return True

    def _free_slot(self) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def _take(self, message: Message) -> None:
        """Process a message, in the slot that was acquired for it."""
        delivery = Delivery(message, self)
        with self._changed:
            fresh = self._seen.hold(message)
        if not fresh:
            self._free_slot()
        elif self._seen.was_processed(message.id):
            self._quietly(delivery.ack)
        elif self._stopping:
            self._quietly(delivery.release)
        elif self._handler is None:
            with self._changed:
                self._waiting.append(delivery)
                self._changed.notify_all()
        else:
            future = self._workers.submit(self._handle, self._handler, delivery)
            self._running.add(future)
            future.add_done_callback(self._running.discard)

    def _handle(self, handler: Handler, delivery: Delivery) -> None:
        try:
            handler(delivery)
        except Exception as error:  # noqa: BLE001 - the message comes again
            logger.warning("The handler of message %s failed", delivery.id, exc_info=error)
            if self._on_error is not None:
                report_blocking(error, self._on_error)
            if self._auto_ack:
                text = error_text(error)
                self._quietly(lambda: delivery.nack(text))
        else:
            if self._auto_ack:
                self._quietly(delivery.ack)
        if not delivery.settled:
            # The handler left that to others: its part of the work is done.
            self._release(delivery.id)

    def _quietly(self, settle: Callable[[], None]) -> None:
        """Settle; a failure means that the message comes again."""
        try:
            settle()
        except KvError as error:
            report_blocking(error, self._on_error)

    def _ack(self, message: Message) -> None:
        # Without a lease: it is processed, whoever has it by now.
        self._seen.processed(message.id)
        try:
            self._session.send(calls.ack(message.id, None, drain=self._stopping))
        finally:
            self._release(message.id)

    def _extend(self, message: Message, duration: Duration | None) -> None:
        lease = self._seen.lease(message.id) or message.lease
        self._session.send(calls.extend(message.id, lease, duration))

    def _nack(self, message: Message, error: str | None, delay: Duration | None) -> None:
        lease = self._seen.lease(message.id)
        try:
            self._session.send(calls.nack(message.id, lease, error, delay, drain=self._stopping))
        finally:
            self._release(message.id)

    def _hand_back(self, message: Message) -> None:
        lease = self._seen.lease(message.id)
        try:
            if lease is not None:
                self._session.send(calls.release(message.id, lease, drain=self._stopping))
        finally:
            self._release(message.id)

    def _release(self, message_id: str) -> None:
        with self._changed:
            if self._seen.release(message_id):
                self._free += 1
                self._changed.notify_all()

    def _close(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
