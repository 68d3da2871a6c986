"""Sending requests to a store in this process, in the event loop of the caller."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TypeVar

from buntime_keyval._async.concurrency import Place, here, stop_later
from buntime_keyval._core import Reply
from buntime_keyval._http import Settings
from buntime_keyval._transport import Failure, OutgoingRequest
from buntime_keyval.embedded import AnsweredStream, Embedded, EmbeddedStore

R = TypeVar("R")

_WORK_SECONDS = 0.004
"""Seconds that immediately answered requests may follow each other while they hold the loop."""


class _AsyncOpened:
    """See `AsyncOpened`."""

    def __init__(self, stream: AnsweredStream, reply: Reply) -> None:
        self._stream = stream
        self.reply = reply

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while (chunk := await self._stream.read()) is not None:
            yield chunk

    def interrupt(self) -> None:
        """See `AsyncOpened`: cancelling does that."""


class AsyncThroughProcess:
    """An `AsyncTransport`. The store is opened by the first request."""

    def __init__(self, settings: Settings, embedded: Embedded) -> None:
        self._settings = settings
        self._embedded = embedded
        self._store: EmbeddedStore | None = None
        self._place: Place
        self._opening: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._closed = False
        self._turn_ends = 0.0

    def __del__(self) -> None:
        """Warn as files and sockets do, and close it as they do, unless its loop has ended."""
        if self._store is None or self._closed or self._place.is_closed():
            return
        if self._embedded.is_of_this_process:
            self._embedded.warn_unclosed(self)
            stop_later(self._place, self._store.stop)

    async def send(self, request: OutgoingRequest, read: Callable[[Reply], R]) -> R:
        store = self._store or await self._opened()
        headers = {**self._settings.headers, **request.headers}
        if perf_counter() > self._turn_ends:
            # Nothing may have waited: others have their turn, or the caller is cancelled, before
            # anything is done for it. Behind it an answer would be lost, and what it leased.
            await asyncio.sleep(0)
            self._turn_ends = perf_counter() + _WORK_SECONDS
        answered = await store.answer(request.method, request.target, headers, request.body)
        return read(Reply(*answered, self._settings.server.base_url))

    @asynccontextmanager
    async def stream(self, request: OutgoingRequest) -> AsyncIterator[_AsyncOpened]:
        store = self._store or await self._opened()
        headers = {**self._settings.headers, **request.headers}
        async with store.stream(request.method, request.target, headers) as stream:
            yield _AsyncOpened(stream, Reply(*stream.answered, self._settings.server.base_url))

    async def close(self) -> None:
        async with self._turn:
            self._closed = True
            if self._opening is not None:
                await asyncio.wait({self._opening})
            if self._store is not None:
                await self._store.stop()

    async def _opened(self) -> EmbeddedStore:
        async with self._turn:
            if self._closed:
                raise Failure("the store was closed meanwhile")
            while self._store is None:
                if self._opening is None or self._opening.done():
                    self._opening = asyncio.create_task(self._open())
                # Who is cancelled leaves it to the next one: half a store is of use to nobody.
                await asyncio.shield(self._opening)
            return self._store

    async def _open(self) -> None:
        self._place = here()
        store = self._embedded.make()
        await store.start()
        self._store = store
