"""Sending calls: the two thin shells over httpx2, one awaiting and one blocking.

Connections belong to the process that made them, and those of asyncio to their event loop too. A
child process, and another loop, get connections of their own; those of the parent are left alone.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import time
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, asynccontextmanager, contextmanager, suppress
from typing import TypeVar
from weakref import WeakKeyDictionary

import httpx2

from buntime_keyval._calls.atomic import AtomicBuilder, commit
from buntime_keyval._calls.keys import Entry, get_many
from buntime_keyval._core import REQUEST_ID, Call, StreamCall, answer_of
from buntime_keyval._errors import ClientClosed, KvError
from buntime_keyval._exchange import Exchange
from buntime_keyval._http import Settings, no_answer, refused_stream, reply_of
from buntime_keyval._results import CommitResult
from buntime_keyval._retries import Attempts
from buntime_keyval.wire import Key

R = TypeVar("R")

_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, httpx2.StreamError)

_of_parents: list[object] = []
"""Connections that a parent process made: closing one could end it there, so all are kept."""


class _AsyncPool:
    """The connections of one process and one event loop."""

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self.calls = self._client(for_streams=False)
        self._streams: httpx2.AsyncClient | None = None

    @property
    def streams(self) -> httpx2.AsyncClient:
        """Made when the first event stream is opened."""
        if self._streams is None:
            self._streams = self._client(for_streams=True)
        return self._streams

    async def close(self) -> None:
        await self.calls.aclose()
        if self._streams is not None:
            await self._streams.aclose()

    def _client(self, *, for_streams: bool) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(
            headers=self._settings.headers,
            timeout=self._settings.timeout,
            transport=self._transport or self._settings.async_transport(for_streams=for_streams),
            trust_env=False,
        )


class AsyncSession:
    """The connections to one API, whatever event loop asks."""

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self._pid = os.getpid()
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _AsyncPool] = WeakKeyDictionary()
        self._closed = False

    async def send(self, call: Call[R], idempotency_key: str | None = None) -> R:
        """The result of a call, after as many attempts as are safe. Raises `KvError`."""
        call = self._settings.keyed(call, idempotency_key)
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

    async def commit(
        self, atomic: AtomicBuilder, idempotency_key: str | None = None
    ) -> CommitResult:
        """See `AsyncSource`."""
        return await self.send(commit(atomic), idempotency_key)

    @asynccontextmanager
    async def stream(self, call: StreamCall) -> AsyncGenerator[AsyncGenerator[bytes, None], None]:
        """An open event stream, as chunks. Raises `KvError`, as the chunks do."""
        method, url, options = self._settings.stream_request(call)
        observed = _Observed(self._settings, method, call.target, None)
        try:
            async with self._pool().streams.stream(method, url, **options) as response:
                if response.status_code != 200:
                    await response.aread()
                refused = refused_stream(response)
                observed.ended(response, refused)
                if refused is not None:
                    raise refused
                async with aclosing(_achunks(response)) as chunks:
                    yield chunks
        except _FAILURES as error:
            lost = no_answer(error, None)
            observed.ended(None, lost)
            raise lost from error

    async def close(self) -> None:
        """Close all connections of this process. Idempotent."""
        self._closed = True
        if self._pid != os.getpid():
            return
        here = asyncio.get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is here:
                await pool.close()
            elif loop.is_running():
                closing = asyncio.run_coroutine_threadsafe(pool.close(), loop)
                await asyncio.wrap_future(closing)
            # What belongs to a loop that has ended is closed with it.
        self._pools.clear()

    def _pool(self) -> _AsyncPool:
        if self._closed:
            raise _closed()
        if self._pid != os.getpid():
            _of_parents.append(self._pools)
            self._pools = WeakKeyDictionary()
            self._pid = os.getpid()
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = _AsyncPool(self._settings, self._transport)
        return pool

    async def _send_once(self, call: Call[R]) -> R:
        method, url, options = self._settings.request(call)
        request_id = options["headers"].get(REQUEST_ID)
        observed = _Observed(self._settings, method, call.target, request_id)
        try:
            response = await self._pool().calls.request(method, url, **options)
            return observed.result(call, response)
        except _FAILURES as error:
            lost = no_answer(error, call, request_id)
            observed.ended(None, lost)
            raise lost from error


class _Pool:
    """The connections of one process."""

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None) -> None:
        self.pid = os.getpid()
        self._settings = settings
        self._transport = transport
        self.calls = self._client(for_streams=False)
        self._streams: httpx2.Client | None = None

    @property
    def streams(self) -> httpx2.Client:
        """Made when the first event stream is opened."""
        if self._streams is None:
            self._streams = self._client(for_streams=True)
        return self._streams

    def close(self) -> None:
        self.calls.close()
        if self._streams is not None:
            self._streams.close()

    def _client(self, *, for_streams: bool) -> httpx2.Client:
        return httpx2.Client(
            headers=self._settings.headers,
            timeout=self._settings.timeout,
            transport=self._transport or self._settings.transport(for_streams=for_streams),
            trust_env=False,
        )


class Session:
    """The same for blocking callers; threads may share it."""

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self._own = _Pool(settings, transport)
        self._closed = False

    def send(self, call: Call[R], idempotency_key: str | None = None) -> R:
        """The result of a call, after as many attempts as are safe. Raises `KvError`."""
        call = self._settings.keyed(call, idempotency_key)
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

    def commit(self, atomic: AtomicBuilder, idempotency_key: str | None = None) -> CommitResult:
        """See `Source`."""
        return self.send(commit(atomic), idempotency_key)

    @contextmanager
    def stream(self, call: StreamCall) -> Generator[SyncStream, None, None]:
        """An open event stream. Raises `KvError`, as its chunks do."""
        method, url, options = self._settings.stream_request(call)
        observed = _Observed(self._settings, method, call.target, None)
        try:
            with self._pool().streams.stream(method, url, **options) as response:
                if response.status_code != 200:
                    response.read()
                refused = refused_stream(response)
                observed.ended(response, refused)
                if refused is not None:
                    raise refused
                yield SyncStream(response)
        except _FAILURES as error:
            lost = no_answer(error, None)
            observed.ended(None, lost)
            raise lost from error

    def close(self) -> None:
        """Close all connections of this process. Idempotent."""
        self._closed = True
        if self._own.pid == os.getpid():
            self._own.close()

    def _pool(self) -> _Pool:
        if self._closed:
            raise _closed()
        pool = self._own
        if pool.pid != os.getpid():
            # Two threads may both come here: one of the two pools is then used once.
            _of_parents.append(pool)
            pool = self._own = _Pool(self._settings, self._transport)
        return pool

    def _send_once(self, call: Call[R]) -> R:
        method, url, options = self._settings.request(call)
        request_id = options["headers"].get(REQUEST_ID)
        observed = _Observed(self._settings, method, call.target, request_id)
        try:
            response = self._pool().calls.request(method, url, **options)
            return observed.result(call, response)
        except _FAILURES as error:
            lost = no_answer(error, call, request_id)
            observed.ended(None, lost)
            raise lost from error


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


class _Observed:
    """One request, told to `on_exchange` once, if anybody listens."""

    def __init__(
        self, settings: Settings, method: str, target: str, request_id: str | None
    ) -> None:
        self._settings = settings
        self._observer = settings.on_exchange
        self._method = method
        self._target = target
        self._request_id = request_id
        self._started = time.perf_counter() if self._observer is not None else 0.0

    def result(self, call: Call[R], response: httpx2.Response) -> R:
        """What the answer means. Raises `KvError`."""
        self._settings.heard(response)
        try:
            result = answer_of(call, reply_of(response, self._settings.base_url))
        except KvError as error:
            self.ended(response, error)
            raise
        self.ended(response, None)
        return result

    def ended(self, response: httpx2.Response | None, error: KvError | None) -> None:
        """The request is over. What comes later, such as the end of a stream, is not told."""
        if self._observer is None:
            return
        observer, self._observer = self._observer, None
        answered = None if response is None else response.headers.get(REQUEST_ID)
        exchange = Exchange(
            self._method,
            self._target.partition("?")[0],
            None if response is None else response.status_code,
            time.perf_counter() - self._started,
            answered or self._request_id,
            error,
        )
        observer(exchange)


def _closed() -> ClientClosed:
    return ClientClosed("the client is closed: make a new one")


async def _achunks(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    try:
        async for chunk in response.aiter_bytes():
            yield chunk
    except _FAILURES as error:
        raise no_answer(error, None) from error
