"""Connections for load that wrk cannot make: event streams, and requests that are timed one by one.

They live in an event loop of the benchmark's process, on uvloop and the parser that uvicorn uses,
so that they cost less than what they measure.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple, TypeVar, cast
from urllib.parse import urlsplit

import httptools
from client import BenchmarkError, Request

OPENED_AT_ONCE = 50


class Event(NamedTuple):
    """One server-sent event, as bytes."""

    name: bytes
    data: bytes


def request_bytes(origin: str, base: str, request: Request) -> bytes:
    """A request as it goes over the wire."""
    body = request.body.encode()
    length = f"content-length: {len(body)}\r\n" if body else ""
    head = f"{request.method} {base}{request.path} HTTP/1.1\r\nhost: {urlsplit(origin).netloc}\r\n"
    return f"{head}{length}\r\n".encode() + body


class _Protocol(asyncio.Protocol):
    """What both kinds of connections share."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.failed(f"not HTTP: {error}: {data[:200]!r}")

    def connection_lost(self, _: Exception | None) -> None:
        self.failed("the connection was closed")

    def failed(self, reason: str) -> None:
        """Whoever waits for this connection gets a `BenchmarkError`."""
        raise NotImplementedError  # each kind of connection has its own waiters


_P = TypeVar("_P", bound=_Protocol)


class Connection(_Protocol):
    """One connection that is kept open, one request at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._body: list[bytes] = []
        self._answer: asyncio.Future[bytes] | None = None

    async def call(self, request: bytes) -> bytes:
        """The body of the answer. Raises `BenchmarkError` unless its status is 200."""
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answer = answer
        self.transport.write(request)
        return await answer

    def on_body(self, body: bytes) -> None:
        """The parser has a part of the answer."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The parser has all of it."""
        content = b"".join(self._body)
        self._body.clear()
        status = self._parser.get_status_code()
        if status != 200:
            self.failed(f"status {status}: {content[:200]!r}")
        elif self._answer is not None and not self._answer.done():
            self._answer.set_result(content)

    def failed(self, reason: str) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(BenchmarkError(reason))


class EventStream(_Protocol):
    """One stream of events; each is handed to a function, which is told when it came."""

    def __init__(self, on_event: Callable[[Event, float], None], failure: Failure) -> None:
        super().__init__()
        self.opened = asyncio.Event()
        """Set with the first event, a ping in most cases."""
        self._on_event = on_event
        self._failure = failure
        self._rest = b""
        self._closing = False

    def on_body(self, body: bytes) -> None:
        """The parser has a part of the stream."""
        now = perf_counter()
        if self._parser.get_status_code() != 200:
            self.failed(f"status {self._parser.get_status_code()}: {body[:200]!r}")
            return
        *frames, self._rest = (self._rest + body).split(b"\n\n")
        for frame in frames:
            fields = dict(line.split(b": ", 1) for line in frame.split(b"\n"))
            self.opened.set()
            self._on_event(Event(fields[b"event"], fields[b"data"]), now)

    def on_message_complete(self) -> None:
        """The parser saw the stream end, which only its reader may end."""
        self.failed("the stream was ended")

    def failed(self, reason: str) -> None:
        if not self._closing:
            self.opened.set()
            self._failure.report(reason)

    def close(self) -> None:
        """Close the connection."""
        self._closing = True
        self.transport.abort()


class Failure:
    """What went wrong in a callback, for those who wait for its result."""

    def __init__(self) -> None:
        self._future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def report(self, reason: str) -> None:
        """Fail those who wait."""
        if not self._future.done():
            self._future.set_exception(BenchmarkError(reason))

    async def unless(self, event: asyncio.Event, seconds: float) -> None:
        """Wait for the event; `BenchmarkError` if something fails, or nothing happens, before."""
        waiting = asyncio.ensure_future(event.wait())
        both: set[asyncio.Future[Any]] = {waiting, self._future}
        try:
            await asyncio.wait(both, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if self._future.done():
                self._future.result()
            if not waiting.done():
                raise BenchmarkError(f"nothing happened for {seconds:g} s")
        finally:
            waiting.cancel()


async def connect(origin: str) -> Connection:
    """A connection for requests. Raises `OSError`."""
    return await _connected(origin, Connection)


async def open_streams(
    origin: str,
    requests: Sequence[bytes],
    on_event: Callable[[Event, float], None],
    failure: Failure,
    *,
    seconds: float,
) -> list[EventStream]:
    """A stream for each request, once all have their first event. Raises `BenchmarkError`."""
    streams: list[EventStream] = []
    for start in range(0, len(requests), OPENED_AT_ONCE):
        some = requests[start : start + OPENED_AT_ONCE]
        for request in some:
            stream = await _connected(origin, lambda: EventStream(on_event, failure))
            streams.append(stream)
            stream.transport.write(request)
        for stream in streams[start:]:
            await failure.unless(stream.opened, seconds)
    return streams


def close_streams(streams: Sequence[EventStream]) -> None:
    """Close their connections."""
    for stream in streams:
        stream.close()


async def _connected(origin: str, make: Callable[[], _P]) -> _P:
    host, _, port = urlsplit(origin).netloc.partition(":")
    _, protocol = await asyncio.get_running_loop().create_connection(make, host, int(port))
    return protocol
