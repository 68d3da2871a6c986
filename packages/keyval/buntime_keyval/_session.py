"""Sending calls: the two thin shells over httpx2, one awaiting and one blocking."""

from __future__ import annotations

import asyncio
import random
import socket
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import TypeVar

import httpx2

from buntime_keyval._calls.atomic import AtomicBuilder, commit
from buntime_keyval._calls.keys import Entry, get_many
from buntime_keyval._core import REQUEST_ID, Call, StreamCall, answer_of
from buntime_keyval._errors import KvError
from buntime_keyval._http import Settings, no_answer, refused_stream, reply_of
from buntime_keyval._results import CommitResult
from buntime_keyval._retries import Attempts
from buntime_keyval.wire import Key

R = TypeVar("R")

_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError)


class AsyncSession:
    """A pool of connections to one API."""

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._client = httpx2.AsyncClient(
            headers=settings.headers,
            timeout=settings.timeout,
            limits=settings.limits,
            verify=settings.verify,
            transport=transport,
        )

    async def send(self, call: Call[R]) -> R:
        """The result of a call, after as many attempts as are safe. Raises `KvError`."""
        attempts = None
        while True:
            try:
                return await self._send_once(call)
            except KvError as error:
                if attempts is None:
                    attempts = Attempts(call, self._settings.retries, random.uniform)
                pause = attempts.pause_after(error)
            await asyncio.sleep(pause)

    async def read(self, keys: Sequence[Key]) -> list[Entry]:
        """See `AsyncSource`."""
        return await self.send(get_many(keys))

    async def commit(self, atomic: AtomicBuilder) -> CommitResult:
        """See `AsyncSource`."""
        return await self.send(commit(atomic))

    @asynccontextmanager
    async def stream(self, call: StreamCall) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
        """An open event stream, as chunks. Raises `KvError`, as the chunks do."""
        method, url, options = self._settings.stream_request(call)
        try:
            async with self._client.stream(method, url, **options) as response:
                if response.status_code != 200:
                    await response.aread()
                refused = refused_stream(response)
                if refused is not None:
                    raise refused
                async with aclosing(_achunks(response)) as chunks:
                    yield chunks
        except _FAILURES as error:
            raise no_answer(error, None) from error

    async def close(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def _send_once(self, call: Call[R]) -> R:
        method, url, options = self._settings.request(call)
        try:
            response = await self._client.request(method, url, **options)
        except _FAILURES as error:
            raise no_answer(error, call, options["headers"].get(REQUEST_ID)) from error
        return answer_of(call, reply_of(response))


class Session:
    """The same for blocking callers; threads may share it."""

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None) -> None:
        self._settings = settings
        self._client = httpx2.Client(
            headers=settings.headers,
            timeout=settings.timeout,
            limits=settings.limits,
            verify=settings.verify,
            transport=transport,
        )

    def send(self, call: Call[R]) -> R:
        """The result of a call, after as many attempts as are safe. Raises `KvError`."""
        attempts = None
        while True:
            try:
                return self._send_once(call)
            except KvError as error:
                if attempts is None:
                    attempts = Attempts(call, self._settings.retries, random.uniform)
                pause = attempts.pause_after(error)
            time.sleep(pause)

    def read(self, keys: Sequence[Key]) -> list[Entry]:
        """See `Source`."""
        return self.send(get_many(keys))

    def commit(self, atomic: AtomicBuilder) -> CommitResult:
        """See `Source`."""
        return self.send(commit(atomic))

    @contextmanager
    def stream(self, call: StreamCall) -> Generator[SyncStream, None, None]:
        """An open event stream. Raises `KvError`, as its chunks do."""
        method, url, options = self._settings.stream_request(call)
        try:
            with self._client.stream(method, url, **options) as response:
                if response.status_code != 200:
                    response.read()
                refused = refused_stream(response)
                if refused is not None:
                    raise refused
                yield SyncStream(response)
        except _FAILURES as error:
            raise no_answer(error, None) from error

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _send_once(self, call: Call[R]) -> R:
        method, url, options = self._settings.request(call)
        try:
            response = self._client.request(method, url, **options)
        except _FAILURES as error:
            raise no_answer(error, call, options["headers"].get(REQUEST_ID)) from error
        return answer_of(call, reply_of(response))


class SyncStream:
    """An event stream that another thread can interrupt."""

    def __init__(self, response: httpx2.Response) -> None:
        self._response = response

    def chunks(self) -> Generator[bytes, None, None]:
        """What arrives, until the server ends the stream. Raises `ConnectionLost`."""
        try:
            yield from self._response.iter_bytes()
        except _FAILURES as error:
            raise no_answer(error, None) from error

    def interrupt(self) -> None:
        """Let a thread that waits for the next chunk go on; the stream is of no use afterwards."""
        network = self._response.extensions.get("network_stream")
        connection = network.get_extra_info("socket") if network is not None else None
        if isinstance(connection, socket.socket):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


async def _achunks(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except _FAILURES as error:
        raise no_answer(error, None) from error
