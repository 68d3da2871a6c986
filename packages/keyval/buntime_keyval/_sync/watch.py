# Made by scripts/unasync from _async/watch.py: change that one.
"""The handle of a watch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from buntime_keyval._reports import ErrorHandler, logger
from buntime_keyval._sharing import EntryBatch
from buntime_keyval._sync.concurrency import JOIN_SECONDS, Condition, Task, call, when_dropped
from buntime_keyval._sync.handle import Handle
from buntime_keyval._sync.reports import report
from buntime_keyval._watching import Buffer

Feed = Callable[[Callable[[EntryBatch], None]], None]
"""Delivers batches, one after the other, for as long as there may be any, until it is cancelled."""


class WatchFlow:
    """The engine of a watch. It knows nothing of the handle, so that the handle can be dropped."""

    def __init__(
        self,
        feed: Feed,
        buffer: Buffer,
        *,
        callback: Callable[[EntryBatch], Any] | None,
        on_error: ErrorHandler | None,
    ) -> None:
        self._feed = feed
        self._buffer = buffer
        self._changed = Condition()
        self.callback = callback
        self._on_error = on_error
        self.closed = False
        self.error: Exception | None = None
        self._reader = Task(self._read, name="kv-watch")
        self._tasks = [self._reader]
        if callback is not None:
            self._tasks.append(Task(self._call, callback, name="kv-watch-callback"))

    @property
    def dropped(self) -> int:
        """Entries that a full buffer dropped."""
        return self._buffer.dropped

    def stop(self) -> None:
        """See `Watch`."""
        self._close(drop=True)
        if not self._reader.is_current:
            self._reader.cancel()
        for task in self._tasks:
            task.join(JOIN_SECONDS)
        self._reader.cancel()  # even by its own `on_error`, after all that waits

    def wait(self, timeout: float | None) -> None:
        """Wait until it ends, at most `timeout` seconds."""
        for task in self._tasks:
            task.join(timeout)

    def take(self) -> EntryBatch | None:
        """The next batch; None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._buffer.filled or self.closed)
            if not self._buffer.filled:
                return None
            batch = self._buffer.take()
            self._changed.notify_all()
            return batch

    def _read(self) -> None:
        try:
            self._feed(self._deliver)
        except Exception as error:  # noqa: BLE001 - raised where the batches are taken
            self.error = error
            if self.callback is not None:
                logger.error("A watch ended: %s", error)
                report(error, self._on_error)
        finally:
            # Whatever ends the reader, waiters for batches must learn of it.
            self._close()

    def _deliver(self, entries: EntryBatch) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._buffer.full or self.closed)
            if not self.closed:
                self._buffer.add(entries)
                self._changed.notify_all()

    def _call(self, callback: Callable[[EntryBatch], Any]) -> None:
        while (batch := self.take()) is not None:
            try:
                call(callback, batch)
            except Exception as error:  # noqa: BLE001 - the watch outlives its callback
                logger.exception("The callback of a watch failed")
                if self._on_error is not None:
                    report(error, self._on_error)

    def _close(self, *, drop: bool = False) -> None:
        with self._changed:
            self.closed = True
            if drop:
                self._buffer.clear()
            self._changed.notify_all()


class Watch(Handle[WatchFlow]):
    """A running watch: iterate over its batches, or give `watch` a callback.

    A batch is a list of entries in the order of their commits; one from a buffer has each key in
    the place of its first change since the previous batch. The entry of a key that was deleted or
    has expired has value and versionstamp None. An empty batch comes only after the watch was away,
    or slow, for longer than the log of changes reaches back: all existing entries follow, and
    entries that do not follow are gone.

    Ends with `stop`, which any thread may call, or with the `with` block.
    One without a callback also ends when it is no longer referenced. Iterating, `wait` and the end
    of the block raise the error that ended it.
    """

    def __init__(self, flow: WatchFlow) -> None:
        self._flow = flow
        if flow.callback is None:
            when_dropped(self, flow.stop)

    @property
    def dropped(self) -> int:
        """Entries that a full buffer dropped."""
        return self._flow.dropped

    def stop(self) -> None:
        """End it, and wait until a running callback has returned. Idempotent.

        It is waited for 5 seconds at most where it is in a thread.
        """
        self._flow.stop()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.stop()
        if kind is None:
            self._raise()

    def __iter__(self) -> Iterator[EntryBatch]:
        if self._flow.callback is not None:
            raise RuntimeError("This watch has a callback: it cannot be iterated over too")
        return self

    def __next__(self) -> EntryBatch:
        batch = self._flow.take()
        if batch is None:
            self._raise()
            raise StopIteration
        return batch
