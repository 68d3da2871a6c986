"""Relays a request to another worker, whose memory it needs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httptools
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from buntime_host.errors import ServiceUnavailable
from buntime_host.http.below import TAKEN_AWAY
from buntime_host.workers import Workers

CHUNK_BYTES = 64 * 1024

RELAYED = "http"
"""The name of relayed connections, see `Workers.serve`; the client's address follows it."""

_OF_THE_CONNECTION = frozenset(
    {b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"expect", b"upgrade"}
)
_MADE_ANEW = frozenset({b"connection", b"transfer-encoding", b"date", b"x-request-id"})
"""Headers of a response that this worker sets itself."""


async def hand_over(workers: Workers, worker: int, request: Request) -> Response:
    """Let another worker answer a request, which goes there whole; its answer comes back unchanged.

    Raises `ServiceUnavailable` if that worker is gone.
    """
    client = request.client
    try:
        about = () if client is None else (client.host, client.port)
        sock = await workers.connect(worker, RELAYED, *about)
        reader, writer = await asyncio.open_connection(sock=sock)
    except OSError as error:
        raise ServiceUnavailable(f"Worker {worker} does not answer") from error
    try:
        writer.write(await _message(request))
        answer = _Answer(reader)
        await answer.read_head()
    except BaseException as error:
        writer.close()
        if isinstance(error, OSError):
            raise ServiceUnavailable(f"Worker {worker} does not answer") from error
        raise

    async def body() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.body():
                yield chunk
        finally:
            writer.close()

    response = StreamingResponse(body(), status_code=answer.status)
    response.raw_headers = [pair for pair in answer.headers if pair[0] not in _MADE_ANEW]
    return response


async def _message(request: Request) -> bytes:
    """The request as it goes over the wire."""
    scope = request.scope
    body = await request.body()
    target: bytes = scope["raw_path"].removeprefix(scope["state"].get(TAKEN_AWAY, "").encode())
    if scope["query_string"]:
        target += b"?" + scope["query_string"]
    lines = [b"%s %s HTTP/1.1" % (scope["method"].encode(), target)]
    lines += [
        b"%s: %s" % (name, value)
        for name, value in scope["headers"]
        if name not in _OF_THE_CONNECTION
    ]
    lines += [b"connection: close", b"content-length: %d" % len(body), b"", body]
    return b"\r\n".join(lines)


class _Answer:
    """A response as it arrives. The parser calls the methods `on_…`."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self._reader = reader
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._head_is_whole = self._is_whole = False

    @property
    def status(self) -> int:
        """The status code, once the head is there."""
        return self._parser.get_status_code()

    async def read_head(self) -> None:
        """Read up to the end of the headers. Raises `ConnectionError`."""
        while not self._head_is_whole:
            await self._read()

    async def body(self) -> AsyncIterator[bytes]:
        """The parts of the body. Raises `ConnectionError` if it ends too early."""
        while True:
            while self._chunks:
                yield self._chunks.pop(0)
            if self._is_whole:
                return
            await self._read()

    async def _read(self) -> None:
        data = await self._reader.read(CHUNK_BYTES)
        if not data:
            raise ConnectionResetError("the worker died while it answered")
        self._parser.feed_data(data)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self._head_is_whole = True

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        self._is_whole = True
