"""Sending calls with httpx2."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TypeVar

import httpx2

from buntime_keyval._async.concurrency import sleep
from buntime_keyval._async.connections import Connections, interruptible
from buntime_keyval._calls.atomic import AtomicBuilder, commit
from buntime_keyval._calls.keys import Entry, get_many
from buntime_keyval._core import REQUEST_ID, Call, StreamCall, consistent
from buntime_keyval._errors import ClientClosed, KvError
from buntime_keyval._http import FAILURES, Settings, no_answer, refused_stream
from buntime_keyval._observed import Observed
from buntime_keyval._results import CommitResult
from buntime_keyval._retries import Attempts
from buntime_keyval.wire import Key

R = TypeVar("R")


class _AsyncPool:
    """Connections that belong together."""

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
        """Close all of them."""
        await self.calls.aclose()
        if self._streams is not None:
            await self._streams.aclose()

    def _client(self, *, for_streams: bool) -> httpx2.AsyncClient:
        options = self._settings.transport_options(for_streams=for_streams)
        return httpx2.AsyncClient(
            headers=self._settings.headers,
            timeout=self._settings.timeout,
            transport=self._transport or httpx2.AsyncHTTPTransport(**options),
            trust_env=False,
        )


class AsyncSession:
    """The connections to one API, whoever asks."""

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._connections = Connections(lambda: _AsyncPool(settings, transport))
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
            await sleep(pause)

    async def read(self, keys: Sequence[Key]) -> list[Entry]:
        """See `AsyncSource`."""
        return await self.send(consistent(get_many(keys), "strong"))  # a commit rests on it

    async def commit(
        self, atomic: AtomicBuilder, idempotency_key: str | None = None
    ) -> CommitResult:
        """See `AsyncSource`."""
        return await self.send(commit(atomic), idempotency_key)

    @asynccontextmanager
    async def stream(self, call: StreamCall) -> AsyncIterator[AsyncIterator[bytes]]:
        """An open event stream, as chunks. Raises `KvError`, as the chunks do."""
        method, url, options = self._settings.stream_request(call)
        observed = Observed(self._settings, method, call.target, None)
        try:
            async with self._pool().streams.stream(method, url, **options) as response:
                if response.status_code != 200:
                    await response.aread()
                refused = refused_stream(response)
                observed.ended(response, refused)
                if refused is not None:
                    raise refused
                async with aclosing(_chunks(response)) as chunks:
                    yield chunks
        except FAILURES as error:
            lost = no_answer(error, None, via=self._settings.via)
            observed.ended(None, lost)
            raise lost from error

    def heard_of(self, position: str | None) -> None:
        """A stream told how far the store is: what is sent from now on is to see that."""
        self._settings.heard_of(position)

    async def close(self) -> None:
        """Close all connections of this process. Idempotent."""
        self._closed = True
        await self._connections.close()

    def _pool(self) -> _AsyncPool:
        if self._closed:
            raise ClientClosed("the client is closed: make a new one")
        return self._connections.here()

    async def _send_once(self, call: Call[R]) -> R:
        method, url, options = self._settings.request(call)
        request_id = options["headers"].get(REQUEST_ID)
        observed = Observed(self._settings, method, call.target, request_id)
        try:
            response = await self._pool().calls.request(method, url, **options)
            return observed.result(call, response)
        except FAILURES as error:
            lost = no_answer(error, call, request_id, via=self._settings.via)
            observed.ended(None, lost)
            raise lost from error


async def _chunks(response: httpx2.Response) -> AsyncGenerator[bytes, None]:
    try:
        with interruptible(response):
            async for chunk in response.aiter_bytes():
                yield chunk
    except FAILURES as error:
        raise no_answer(error, None) from error
