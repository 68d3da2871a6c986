"""Sending requests with httpx2: through a proxy, or what users give in place of the network."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx2

from buntime_keyval._async.interrupting import interrupt
from buntime_keyval._core import Reply
from buntime_keyval._http import Settings
from buntime_keyval._httpx import (
    FAILURES,
    client_options,
    failure_of,
    reply_of,
    timeout,
    transport_options,
    url_of,
)
from buntime_keyval._transport import OutgoingRequest

R = TypeVar("R")


class _AsyncOpened:
    """See `AsyncOpened`."""

    def __init__(self, response: httpx2.Response, reply: Reply) -> None:
        self._response = response
        self.reply = reply

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            async for chunk in self._response.aiter_bytes():
                yield chunk
        except FAILURES as error:
            raise failure_of(error) from error

    def interrupt(self) -> None:
        interrupt(self._response)


class AsyncThroughHttpx:
    """An `AsyncTransport`."""

    def __init__(self, settings: Settings, transport: httpx2.AsyncBaseTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self._calls = self._client(for_streams=False)
        self._streams: httpx2.AsyncClient | None = None

    async def send(self, request: OutgoingRequest, read: Callable[[Reply], R]) -> R:
        url = url_of(self._settings, request)
        try:
            response = await self._calls.request(
                request.method,
                url,
                content=request.body,
                headers=request.headers,
                timeout=timeout(self._settings.timeouts, ends=request.ends),
            )
        except FAILURES as error:
            raise failure_of(error) from error
        return read(reply_of(response, self._settings.server.base_url, response.content))

    @asynccontextmanager
    async def stream(self, request: OutgoingRequest) -> AsyncIterator[_AsyncOpened]:
        if self._streams is None:
            self._streams = self._client(for_streams=True)
        url = url_of(self._settings, request)
        bounds = timeout(self._settings.timeouts, of_stream=True)
        try:
            async with self._streams.stream(
                request.method, url, headers=request.headers, timeout=bounds
            ) as response:
                content = b"" if response.status_code == 200 else await response.aread()
                reply = reply_of(response, self._settings.server.base_url, content)
                yield _AsyncOpened(response, reply)
        except FAILURES as error:
            raise failure_of(error) from error

    async def close(self) -> None:
        await self._calls.aclose()
        if self._streams is not None:
            await self._streams.aclose()

    def _client(self, *, for_streams: bool) -> httpx2.AsyncClient:
        transport = self._transport
        if transport is None:
            options = transport_options(self._settings, for_streams=for_streams)
            transport = httpx2.AsyncHTTPTransport(**options)
        return httpx2.AsyncClient(transport=transport, **client_options(self._settings))
