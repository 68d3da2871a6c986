# Made by scripts/unasync from _async/sharing.py: change that one.
"""One event stream for all watches of one target in this process.

A watch that joins late first gets the stream's changes so far; from then on all get the same. Each
has a buffer of its own, so a slow one holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable

from buntime_keyval._reports import ErrorHandler, logger
from buntime_keyval._sharing import EntryBatch, Latest
from buntime_keyval._sync.concurrency import Place, Queue, Task, here, lock
from buntime_keyval._sync.follow import follow
from buntime_keyval._sync.reports import report
from buntime_keyval._sync.session import Session
from buntime_keyval._sync.watch import Feed
from buntime_keyval._watching import WatchedKeys, WatchPlan

Told = Queue[EntryBatch | Exception]
"""The batches that wait for one watch."""


class _Stream:
    """The stream of one target in one place."""

    def __init__(self, session: Session, target: WatchedKeys) -> None:
        self.lock = lock()
        self.latest = Latest(target)
        self.queues: dict[Told, ErrorHandler | None] = {}
        self.error: Exception | None = None
        """The error that it ended with."""
        self.task = Task(self._run, session, target, name="kv-shared-watch")

    def _run(self, session: Session, target: WatchedKeys) -> None:
        try:
            follow(session, WatchPlan(target, emit_initial=True), self._deliver, self._failed)
        except Exception as error:  # noqa: BLE001 - raised where the watch is read
            with self.lock:
                self.error = error
                self._tell(error)

    def _deliver(self, batch: EntryBatch) -> None:
        with self.lock:
            self.latest.take(batch)
            self._tell(batch)

    def _tell(self, news: EntryBatch | Exception) -> None:
        for waiting in self.queues:
            waiting.put_nowait(news)

    def _failed(self, error: Exception) -> None:
        with self.lock:
            handlers = [handler for handler in self.queues.values() if handler is not None]
        if not handlers:
            logger.warning("A shared watch is interrupted: %s", error)
        for handler in handlers:
            report(error, handler)


class Sharing:
    """The shared streams of one client."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._lock = lock()
        self._streams: dict[tuple[Place, WatchedKeys], _Stream] = {}

    def feed(self, target: WatchedKeys, *, initial: bool, on_error: ErrorHandler | None) -> Feed:
        """Feeds one watch."""

        def feed(deliver: Callable[[EntryBatch], None]) -> None:
            waiting = Told()
            stream, skips = self._join(target, waiting, initial=initial, on_error=on_error)
            try:
                while True:
                    news = waiting.get()
                    if isinstance(news, Exception):
                        raise news
                    if skips:
                        skips = False  # the entries at the beginning
                    else:
                        deliver(news)
            finally:
                self._leave(target, stream, waiting)

        return feed

    def _join(
        self, target: WatchedKeys, waiting: Told, *, initial: bool, on_error: ErrorHandler | None
    ) -> tuple[_Stream, bool]:
        """The stream, and whether its first batch is not for this watch."""
        place = (here(), target)
        with self._lock:
            stream = self._streams.get(place)
            if stream is None or stream.error is not None:
                stream = self._streams[place] = _Stream(self._session, target)
            with stream.lock:
                if initial:
                    for batch in stream.latest.batches():
                        waiting.put_nowait(batch)
                stream.queues[waiting] = on_error
                if stream.error is not None:  # it was quicker than we are
                    waiting.put_nowait(stream.error)
                return stream, not initial and not stream.latest.begun

    def _leave(self, target: WatchedKeys, stream: _Stream, waiting: Told) -> None:
        place = (here(), target)
        with self._lock:
            with stream.lock:
                del stream.queues[waiting]
                last = not stream.queues
            if last and self._streams.get(place) is stream:
                del self._streams[place]
        if last:
            stream.task.cancel()
