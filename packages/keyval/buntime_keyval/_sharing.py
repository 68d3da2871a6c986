"""One event stream for all watches of one target in this process.

Who joins late is told what the stream has told so far, as its first batches; from then on all are
told the same. Each has a buffer of its own, so a slow one holds up nobody.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator

from buntime_keyval._calls.keys import Entry
from buntime_keyval._follow import StopSignal, follow, follow_blocking
from buntime_keyval._reports import ErrorHandler, logger, report, report_blocking
from buntime_keyval._session import AsyncSession, Session
from buntime_keyval._watching import WatchPlan, WatchTarget
from buntime_keyval.wire import InvalidInput, encode_key

Batch = list[Entry]

BUFFER_SIZE = 1000
"""Keys that wait for one watch unless it says otherwise."""


def check_sharing(*, polling: bool) -> None:
    """Raise `InvalidInput` for what cannot be shared."""
    if polling:
        raise InvalidInput("a shared watch needs a stream: mode must be sse")


class _Latest:
    """What a stream has told: the last entry of each key that is there."""

    def __init__(self, target: WatchTarget) -> None:
        self._target = target
        self._entries: dict[bytes, Entry] = {}
        self.begun = False
        """Whether the stream has told what was there at its beginning."""

    def take(self, batch: Batch) -> None:
        """Note a batch; an empty one says that what was told is out of date."""
        self.begun = True
        if not batch:
            self._entries.clear()
        for entry in batch:
            code = encode_key(entry.key)
            if entry.versionstamp is None and not self._target.exact:
                self._entries.pop(code, None)
            else:
                self._entries[code] = entry

    def batches(self) -> Iterator[Batch]:
        """All of it, in the sizes that the target asks for."""
        entries = list(self._entries.values())
        size = max(len(self._target.keys), 1) if self._target.exact else self._target.limit
        for start in range(0, len(entries), size):
            yield entries[start : start + size]


class _AsyncStream:
    """The stream of one target in one event loop."""

    def __init__(self, session: AsyncSession, target: WatchTarget) -> None:
        self.latest = _Latest(target)
        self.queues: dict[asyncio.Queue[Batch | Exception], ErrorHandler | None] = {}
        self.task = asyncio.create_task(self._run(session, target), name="kv-shared-watch")

    async def _run(self, session: AsyncSession, target: WatchTarget) -> None:
        try:
            await follow(session, WatchPlan(target, emit_initial=True), self._deliver, self._failed)
        except Exception as error:  # noqa: BLE001 - whoever watches gets it
            for waiting in self.queues:
                waiting.put_nowait(error)

    async def _deliver(self, batch: Batch) -> None:
        self.latest.take(batch)
        for waiting in self.queues:
            waiting.put_nowait(batch)

    async def _failed(self, error: Exception) -> None:
        handlers = [handler for handler in self.queues.values() if handler is not None]
        if not handlers:
            logger.warning("A shared watch is interrupted: %s", error)
        for handler in handlers:
            await report(error, handler)


class AsyncSharing:
    """The shared streams of one client."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session
        self._streams: dict[tuple[asyncio.AbstractEventLoop, WatchTarget], _AsyncStream] = {}

    def feed(
        self, target: WatchTarget, *, initial: bool, on_error: ErrorHandler | None
    ) -> Callable[[Callable[[Batch], Awaitable[None]]], Awaitable[None]]:
        """What feeds one watch."""

        async def feed(deliver: Callable[[Batch], Awaitable[None]]) -> None:
            place = (asyncio.get_running_loop(), target)
            stream = self._streams.get(place)
            if stream is None or stream.task.done():
                stream = self._streams[place] = _AsyncStream(self._session, target)
            waiting: asyncio.Queue[Batch | Exception] = asyncio.Queue()
            skips = not initial and not stream.latest.begun
            if initial:
                for batch in stream.latest.batches():
                    waiting.put_nowait(batch)
            stream.queues[waiting] = on_error
            try:
                while True:
                    told = await waiting.get()
                    if isinstance(told, Exception):
                        raise told
                    if skips:
                        skips = False  # what was there at the beginning
                    else:
                        await deliver(told)
            finally:
                del stream.queues[waiting]
                if not stream.queues:
                    stream.task.cancel()
                    if self._streams.get(place) is stream:
                        del self._streams[place]

        return feed


class _Stream:
    """The same in a thread."""

    def __init__(self, session: Session, target: WatchTarget) -> None:
        self.lock = threading.Lock()
        self.latest = _Latest(target)
        self.queues: dict[queue.SimpleQueue[Batch | Exception | None], ErrorHandler | None] = {}
        self.stop = StopSignal()
        self.error: Exception | None = None
        """What it ended with."""
        threading.Thread(
            target=self._run, args=(session, target), name="kv-shared-watch", daemon=True
        ).start()

    def _run(self, session: Session, target: WatchTarget) -> None:
        plan = WatchPlan(target, emit_initial=True)
        try:
            follow_blocking(session, plan, self._deliver, self._failed, self.stop)
        except Exception as error:  # noqa: BLE001 - whoever watches gets it
            with self.lock:
                self.error = error
                for waiting in self.queues:
                    waiting.put(error)

    def _deliver(self, batch: Batch) -> None:
        with self.lock:
            self.latest.take(batch)
            for waiting in self.queues:
                waiting.put(batch)

    def _failed(self, error: Exception) -> None:
        with self.lock:
            handlers = [handler for handler in self.queues.values() if handler is not None]
        if not handlers:
            logger.warning("A shared watch is interrupted: %s", error)
        for handler in handlers:
            report_blocking(error, handler)


class Sharing:
    """The shared streams of one blocking client."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = threading.Lock()
        self._streams: dict[WatchTarget, _Stream] = {}

    def feed(
        self, target: WatchTarget, *, initial: bool, on_error: ErrorHandler | None
    ) -> Callable[[Callable[[Batch], None], StopSignal], None]:
        """What feeds one watch."""

        def feed(deliver: Callable[[Batch], None], stop: StopSignal) -> None:
            waiting: queue.SimpleQueue[Batch | Exception | None] = queue.SimpleQueue()
            stop.on_given(lambda: waiting.put(None))
            stream, skips = self._join(target, waiting, initial=initial, on_error=on_error)
            try:
                while (told := waiting.get()) is not None:
                    if isinstance(told, Exception):
                        raise told
                    if skips:
                        skips = False  # what was there at the beginning
                    else:
                        deliver(told)
            finally:
                self._leave(target, stream, waiting)

        return feed

    def _join(
        self,
        target: WatchTarget,
        waiting: queue.SimpleQueue[Batch | Exception | None],
        *,
        initial: bool,
        on_error: ErrorHandler | None,
    ) -> tuple[_Stream, bool]:
        with self._lock:
            stream = self._streams.get(target)
            if stream is None or stream.error is not None:
                stream = self._streams[target] = _Stream(self._session, target)
            with stream.lock:
                if initial:
                    for batch in stream.latest.batches():
                        waiting.put(batch)
                stream.queues[waiting] = on_error
                if stream.error is not None:  # it was quicker than we are
                    waiting.put(stream.error)
                return stream, not initial and not stream.latest.begun

    def _leave(
        self,
        target: WatchTarget,
        stream: _Stream,
        waiting: queue.SimpleQueue[Batch | Exception | None],
    ) -> None:
        with self._lock:
            with stream.lock:
                del stream.queues[waiting]
                last = not stream.queues
            if last and self._streams.get(target) is stream:
                del self._streams[target]
        if last:
            stream.stop.give()
