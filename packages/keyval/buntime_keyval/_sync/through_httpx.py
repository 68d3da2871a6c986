# Made by scripts/unasync from _async/through_httpx.py: change that one.
"""Sending requests with httpx2: through a proxy, or what users give in place of the network."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import TypeVar

import httpx2

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
from buntime_keyval._sync.interrupting import interrupt
from buntime_keyval._transport import OutgoingRequest

R = TypeVar("R")


class _Opened:
    """See `Opened`."""

    def __init__(self, response: httpx2.Response, reply: Reply) -> None:
        self._response = response
        self.reply = reply

    def chunks(self) -> Generator[bytes, None]:
        try:
            yield from self._response.iter_bytes()
        except FAILURES as error:
            raise failure_of(error) from error

    def interrupt(self) -> None:
        interrupt(self._response)


class ThroughHttpx:
    """An `Transport`."""

    def __init__(self, settings: Settings, transport: httpx2.BaseTransport | None) -> None:
        self._settings = settings
        self._transport = transport
        self._calls = self._client(for_streams=False)
        self._streams: httpx2.Client | None = None

    def send(self, request: OutgoingRequest, read: Callable[[Reply], R]) -> R:
        url = url_of(self._settings, request)
        try:
            response = self._calls.request(
                request.method,
                url,
                content=request.body,
                headers=request.headers,
                timeout=timeout(self._settings.timeouts, ends=request.ends),
            )
        except FAILURES as error:
            raise failure_of(error) from error
        return read(reply_of(response, self._settings.server.base_url, response.content))

    @contextmanager
    def stream(self, request: OutgoingRequest) -> Iterator[_Opened]:
        if self._streams is None:
            self._streams = self._client(for_streams=True)
        url = url_of(self._settings, request)
        bounds = timeout(self._settings.timeouts, of_stream=True)
        try:
            with self._streams.stream(
                request.method, url, headers=request.headers, timeout=bounds
            ) as response:
                content = b"" if response.status_code == 200 else response.read()
                reply = reply_of(response, self._settings.server.base_url, content)
                yield _Opened(response, reply)
        except FAILURES as error:
            raise failure_of(error) from error

    def close(self) -> None:
        self._calls.close()
        if self._streams is not None:
            self._streams.close()

    def _client(self, *, for_streams: bool) -> httpx2.Client:
        transport = self._transport
        if transport is None:
            options = transport_options(self._settings, for_streams=for_streams)
            transport = httpx2.HTTPTransport(**options)
        return httpx2.Client(transport=transport, **client_options(self._settings))
