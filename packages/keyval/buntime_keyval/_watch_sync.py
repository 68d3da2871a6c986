"""The handle of a watch for `Kv`: threads in the place of tasks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

from buntime_keyval._calls.keys import Entry
from buntime_keyval._errors import KvError
from buntime_keyval._follow import Reconnects, StopSignal, follow_blocking
from buntime_keyval._reports import ErrorHandler, logger, report_blocking
from buntime_keyval._retries import is_passing
from buntime_keyval._session import Session
from buntime_keyval._watching import Buffer, PollPlan, WatchPlan

Batch = list[Entry]
_JOIN_SECONDS = 5.0

Feed = Callable[[Callable[[Batch], None], StopSignal], None]
"""Delivers batches, one after the other, until the signal, or for as long as there may be any."""


class Watch:
    """A running watch: iterate over its batches, or give `watch` a callback.

    A batch is a list of entries in the order of their commits; the entry of a key that was deleted
    or has expired has value and versionstamp None. An empty batch comes only to who was away, or
    slow, for longer than the log of changes reaches back: all that is there follows, and what does
    not follow is gone. Ends with `stop`, which any thread may call, or
    with the `with` block. Iterating, `wait` and the end of the block raise the error that ended
    it. A callback runs in a thread of its own.
    """

    def __init__(
        self,
        feed: Feed,
        buffer: Buffer,
        *,
        callback: Callable[[Batch], Any] | None,
        on_error: ErrorHandler | None,
    ) -> None:
        self._feed = feed
        self._buffer = buffer
        self._changed = threading.Condition()
        self._callback = callback
        self._on_error = on_error
        self._stop = StopSignal()
        self._closed = False
        self._error: Exception | None = None
        self._threads = [threading.Thread(target=self._read, name="kv-watch", daemon=True)]
        if callback is not None:
            self._threads.append(
                threading.Thread(
                    target=self._call, args=(callback,), name="kv-watch-callback", daemon=True
                )
            )
        for thread in self._threads:
            thread.start()

    @property
    def closed(self) -> bool:
        """Whether it was stopped, or ended by an error."""
        return self._closed

    @property
    def error(self) -> Exception | None:
        """What ended it, if not `stop`."""
        return self._error

    @property
    def dropped(self) -> int:
        """Entries that a full buffer dropped."""
        return self._buffer.dropped

    def stop(self) -> None:
        """End it, and wait, at most 5 seconds, for a running callback to return. Idempotent."""
        self._close(drop=True)
        self._stop.give()
        self._join(_JOIN_SECONDS)

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it ends, at most `timeout` seconds. Raises the error that ended it."""
        self._join(timeout)
        self._raise()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None:
            self._raise()

    def __iter__(self) -> Iterator[Batch]:
        if self._callback is not None:
            raise RuntimeError("This watch has a callback: it cannot be iterated over too")
        return self

    def __next__(self) -> Batch:
        batch = self._take()
        if batch is None:
            self._raise()
            raise StopIteration
        return batch

    def _join(self, timeout: float | None) -> None:
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(timeout)

    def _read(self) -> None:
        try:
            self._feed(self._deliver, self._stop)
        except Exception as error:  # noqa: BLE001 - whoever takes the batches gets it
            self._error = error
            if self._callback is not None:
                logger.error("A watch ended: %s", error)
                report_blocking(error, self._on_error)
        finally:
            # Whatever ends the reader, whoever waits for batches must hear of it.
            self._close()

    def _deliver(self, entries: Batch) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._buffer.full or self._closed)
            if not self._closed:
                self._buffer.add(entries)
                self._changed.notify_all()

    def _take(self) -> Batch | None:
        with self._changed:
            self._changed.wait_for(lambda: self._buffer.filled or self._closed)
            if not self._buffer.filled:
                return None
            batch = self._buffer.take()
            self._changed.notify_all()
            return batch

    def _call(self, callback: Callable[[Batch], Any]) -> None:
        while (batch := self._take()) is not None:
            try:
                callback(batch)
            except Exception as error:  # noqa: BLE001 - the watch outlives its callback
                logger.exception("The callback of a watch failed")
                if self._on_error is not None:
                    report_blocking(error, self._on_error)

    def _close(self, *, drop: bool = False) -> None:
        with self._changed:
            self._closed = True
            if drop:
                self._buffer.clear()
            self._changed.notify_all()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def watch_feed(
    session: Session,
    plan: WatchPlan | PollPlan,
    poll_seconds: float,
    on_error: ErrorHandler | None,
) -> Feed:
    """The batches that a plan brings."""

    def feed(deliver: Callable[[Batch], None], stop: StopSignal) -> None:
        if isinstance(plan, WatchPlan):
            follow_blocking(session, plan, deliver, on_error, stop)
            return
        reconnects = Reconnects()
        while not stop.is_given():
            try:
                entries, more = plan.take(session.send(plan.call()))
            except KvError as error:
                if not is_passing(error):
                    raise
                report_blocking(error, on_error)
                stop.wait(reconnects.pause())
                continue
            reconnects.opened()
            if entries:
                deliver(entries)
            if not more:
                stop.wait(poll_seconds)

    return feed
