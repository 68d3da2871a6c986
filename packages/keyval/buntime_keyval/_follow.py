"""Following an event stream for ever: reconnecting, with pauses, until told to stop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from buntime_keyval._core import StreamCall
from buntime_keyval._errors import KvError
from buntime_keyval._reports import ErrorHandler, report, report_blocking
from buntime_keyval._retries import Backoff, is_passing
from buntime_keyval._session import AsyncSession, Session, SyncStream
from buntime_keyval._sse import EventParser, ServerEvent

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
HEALTHY_S = 2.0
"""A stream that lived so long is no failed attempt either: the pauses are short again."""


class Plan(Protocol[T_co]):
    """What a follower asks for, and what it makes of events."""

    def stream_call(self) -> StreamCall:
        """The stream to open now."""

    def take(self, event: ServerEvent) -> T_co | None:
        """What an event brings, if anything."""

    def place(self) -> object:
        """How far it got; a stream that changes it is no failed attempt."""


class Reconnects:
    """The pauses between streams."""

    def __init__(self) -> None:
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        self._opened: float | None = None
        self._place: object = None

    def opened(self) -> None:
        """Note that a stream, or an answer, is there."""
        self._opened = time.monotonic()

    def pause(self, place: object = None) -> float:
        """Seconds to wait after a stream ended at this place."""
        lasted = self._opened is not None and time.monotonic() - self._opened >= HEALTHY_S
        if lasted or place != self._place:
            self._backoff.reset()
        self._opened, self._place = None, place
        return self._backoff.next()


async def follow(
    session: AsyncSession,
    plan: Plan[T],
    deliver: Callable[[T], Awaitable[None]],
    on_error: ErrorHandler | None,
) -> None:
    """Deliver what the plan makes of its streams. Raises a `KvError` that will not pass."""
    reconnects = Reconnects()
    while True:
        try:
            async with session.stream(plan.stream_call()) as chunks:
                reconnects.opened()
                parser = EventParser()
                async for chunk in chunks:
                    for event in parser.feed(chunk):
                        item = plan.take(event)
                        if item is not None:
                            await deliver(item)
        except KvError as error:
            if not is_passing(error):
                raise
            await report(error, on_error)
        await asyncio.sleep(reconnects.pause(plan.place()))


def follow_blocking(
    session: Session,
    plan: Plan[T],
    deliver: Callable[[T], None],
    on_error: ErrorHandler | None,
    stop: StopSignal,
) -> None:
    """The same in a thread, until the signal is given."""
    reconnects = Reconnects()
    while not stop.is_given():
        try:
            with session.stream(plan.stream_call()) as stream, stop.interrupts(stream):
                reconnects.opened()
                parser = EventParser()
                for chunk in stream.chunks():
                    for event in parser.feed(chunk):
                        item = plan.take(event)
                        if item is not None and not stop.is_given():
                            deliver(item)
                    if stop.is_given():
                        break
        except KvError as error:
            if stop.is_given():
                return
            if not is_passing(error):
                raise
            report_blocking(error, on_error)
        stop.wait(reconnects.pause(plan.place()))


class StopSignal:
    """Tells a thread to stop, wherever it waits."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._stream: SyncStream | None = None
        self._listener: Callable[[], None] | None = None

    def is_given(self) -> bool:
        """Whether the thread is to stop."""
        return self._event.is_set()

    def give(self) -> None:
        """Let the thread stop. Idempotent."""
        self._event.set()
        with self._lock:
            if self._stream is not None:
                self._stream.interrupt()
            if self._listener is not None:
                self._listener()

    def on_given(self, listener: Callable[[], None]) -> None:
        """Call `listener` with the signal; at once if it was given already."""
        with self._lock:
            self._listener = listener
            if self.is_given():
                listener()

    def wait(self, seconds: float) -> bool:
        """Wait, but not beyond the signal; whether it was given."""
        return self._event.wait(seconds)

    def interrupts(self, stream: SyncStream) -> _Interruptible:
        """A context in which the signal ends a stream."""
        return _Interruptible(self, stream)

    def attach(self, stream: SyncStream | None) -> None:
        """Name the stream that the signal ends; at once if it was given already."""
        with self._lock:
            self._stream = stream
            if stream is not None and self.is_given():
                stream.interrupt()


class _Interruptible:
    def __init__(self, stop: StopSignal, stream: SyncStream) -> None:
        self._stop = stop
        self._stream = stream

    def __enter__(self) -> None:
        self._stop.attach(self._stream)

    def __exit__(self, *_: object) -> None:
        self._stop.attach(None)
