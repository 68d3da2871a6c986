"""Sending requests to a store in this process, which has a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from buntime_keyval._core import Reply
from buntime_keyval._http import Settings
from buntime_keyval._sync.concurrency import stop_later, waking
from buntime_keyval._transport import Failure, OutgoingRequest
from buntime_keyval.embedded import AnsweredStream, Embedded, EmbeddedStore

R = TypeVar("R")


class _Opened:
    """See `Opened`."""

    def __init__(self, place: _Thread, stream: AnsweredStream, reply: Reply) -> None:
        self._place = place
        self._stream = stream
        self._next: Future[bytes | None] | None = None
        self._interrupted = False
        self.reply = reply

    def chunks(self) -> Generator[bytes, None, None]:
        """See `Opened`."""

        async def read() -> bytes | None:
            return await self._stream.read()

        while not self._interrupted:
            self._next = self._place.submit(read())
            try:
                chunk = self._next.result()
            except CancelledError:
                return
            if chunk is None:
                return
            yield chunk

    def interrupt(self) -> None:
        """See `Opened`."""
        self._interrupted = True
        if self._next is not None:
            self._next.cancel()


class ThroughProcess:
    """A `Transport`. The store is opened by the first request."""

    def __init__(self, settings: Settings, embedded: Embedded) -> None:
        self._settings = settings
        self._embedded = embedded
        self._turn = threading.Lock()
        self._thread: _Thread | None = None
        self._closed = False

    def __del__(self) -> None:
        """Warn as files and sockets do, and close it as they do."""
        if self._thread is not None and not self._closed and self._embedded.is_of_this_process:
            self._embedded.warn_unclosed(self)
            stop_later(self._thread.stop)

    def send(self, request: OutgoingRequest, read: Callable[[Reply], R]) -> R:
        """See `Transport`."""
        place = self._thread or self._opened()
        headers = {**self._settings.headers, **request.headers}
        asking = place.store.answer(request.method, request.target, headers, request.body)
        answered = place.result_of(asking, interruptible=True)
        return read(Reply(*answered, self._settings.server.base_url))

    @contextmanager
    def stream(self, request: OutgoingRequest) -> Iterator[_Opened]:
        """See `Transport`."""
        place = self._thread or self._opened()
        headers = {**self._settings.headers, **request.headers}
        context = place.store.stream(request.method, request.target, headers)
        stream = place.result_of(context.__aenter__())
        try:
            yield _Opened(place, stream, Reply(*stream.answered, self._settings.server.base_url))
        finally:
            place.result_of(context.__aexit__(None, None, None))

    def close(self) -> None:
        """See `Transport`."""
        with self._turn:
            self._closed = True
            if self._thread is not None:
                self._thread.stop()

    def _opened(self) -> _Thread:
        with self._turn:
            if self._closed:
                raise Failure("the store was closed meanwhile")
            if self._thread is None:
                self._thread = _Thread(self._embedded.make())
            return self._thread


class _Thread:
    """A store, and the event loop that it runs in."""

    def __init__(self, store: EmbeddedStore) -> None:
        """Raises `CannotOpen`."""
        self.store = store
        self._loop = asyncio.new_event_loop()
        # A program that forgets to close the store ends all the same: what was answered is on disk.
        self._thread = threading.Thread(target=self._run, name="buntime-keyval", daemon=True)
        self._thread.start()
        try:
            self.result_of(store.start())
        except BaseException:
            self._end()
            raise

    def submit(self, work: Coroutine[Any, Any, R]) -> Future[R]:
        """Run something there. Raises `Failure` if the store is closed."""
        try:
            return asyncio.run_coroutine_threadsafe(work, self._loop)
        except RuntimeError as error:
            work.close()
            raise Failure("the store was closed meanwhile") from error

    def result_of(self, work: Coroutine[Any, Any, R], *, interruptible: bool = False) -> R:
        """Run something there and wait for it; a task that is to end may wait no longer."""
        future = self.submit(work)
        try:
            with waking(future.cancel) if interruptible else nullcontext():
                return future.result()
        finally:
            future.cancel()  # where the wait ended before it did

    def stop(self) -> None:
        """Close the store. Idempotent."""
        if not self._loop.is_closed():
            self.result_of(self.store.stop())
            self._end()

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(self._loop.shutdown_default_executor())
            self._loop.close()
