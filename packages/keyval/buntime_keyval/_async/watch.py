"""The handle of a watch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from buntime_keyval._async.concurrency import JOIN_SECONDS, Condition, Task, call, when_dropped
from buntime_keyval._async.handle import AsyncHandle
from buntime_keyval._async.reports import report
from buntime_keyval._reports import ErrorHandler, logger
from buntime_keyval._sharing import EntryBatch
from buntime_keyval._watching import Buffer

Feed = Callable[[Callable[[EntryBatch], Awaitable[None]]], Awaitable[None]]
"""Delivers batches, one after the other, for as long as there may be any, until it is cancelled."""


class AsyncWatchFlow:
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

    async def stop(self) -> None:
        """See `AsyncWatch`."""
        await self._close(drop=True)
        if not self._reader.is_current:
            self._reader.cancel()
        for task in self._tasks:
            await task.join(JOIN_SECONDS)
        self._reader.cancel()  # even by its own `on_error`, after all that waits

    async def wait(self, timeout: float | None) -> None:
        """Wait until it ends, at most `timeout` seconds."""
        for task in self._tasks:
            await task.join(timeout)

    async def take(self) -> EntryBatch | None:
        """The next batch; None at the end."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._buffer.filled or self.closed)
            if not self._buffer.filled:
                return None
            batch = self._buffer.take()
            self._changed.notify_all()
            return batch

    async def _read(self) -> None:
        try:
            await self._feed(self._deliver)
        except Exception as error:  # noqa: BLE001 - raised where the batches are taken
            self.error = error
            if self.callback is not None:
                logger.error("A watch ended: %s", error)
                await report(error, self._on_error)
        finally:
            # Whatever ends the reader, waiters for batches must learn of it.
            await self._close()

    async def _deliver(self, entries: EntryBatch) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._buffer.full or self.closed)
            if not self.closed:
                self._buffer.add(entries)
                self._changed.notify_all()

    async def _call(self, callback: Callable[[EntryBatch], Any]) -> None:
        while (batch := await self.take()) is not None:
            try:
                await call(callback, batch)
            except Exception as error:  # noqa: BLE001 - the watch outlives its callback
                logger.exception("The callback of a watch failed")
                if self._on_error is not None:
                    await report(error, self._on_error)

    async def _close(self, *, drop: bool = False) -> None:
        async with self._changed:
            self.closed = True
            if drop:
                self._buffer.clear()
            self._changed.notify_all()


class AsyncWatch(AsyncHandle[AsyncWatchFlow]):
    """A running watch: iterate over its batches, or give `watch` a callback.

    A batch is a list of entries in the order of their commits; one from a buffer has each key in
    the place of its first change since the previous batch. The entry of a key that was deleted or
    has expired has value and versionstamp None. An empty batch comes only after the watch was away,
    or slow, for longer than the log of changes reaches back: all existing entries follow, and
    entries that do not follow are gone.

    Ends with `stop`, or with the `async with` block.
    One without a callback also ends when it is no longer referenced. Iterating, `wait` and the end
    of the block raise the error that ended it.
    """

    def __init__(self, flow: AsyncWatchFlow) -> None:
        self._flow = flow
        if flow.callback is None:
            when_dropped(self, flow.stop)

    @property
    def dropped(self) -> int:
        """Entries that a full buffer dropped."""
        return self._flow.dropped

    async def stop(self) -> None:
        """End it, and wait until a running callback has returned. Idempotent.

        It is waited for 5 seconds at most where it is in a thread.
        """
        await self._flow.stop()

    async def __aenter__(self) -> AsyncWatch:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        await self.stop()
        if kind is None:
            self._raise()

    def __aiter__(self) -> AsyncIterator[EntryBatch]:
        if self._flow.callback is not None:
            raise RuntimeError("This watch has a callback: it cannot be iterated over too")
        return self

    async def __anext__(self) -> EntryBatch:
        batch = await self._flow.take()
        if batch is None:
            self._raise()
            raise StopAsyncIteration
        return batch
