"""Requests of this process to a host: what a server would hand over, without a socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import NamedTuple
from urllib.parse import unquote

from starlette.types import Message, Scope

from buntime_host.direct import Header
from buntime_host.host import Host

HELD_CHUNKS = 16
"""What a stream sends ahead of who reads it."""

_NAME = (b"host", b"localhost")
"""Whom such requests are for."""


class Response(NamedTuple):
    """A whole answer, or the head of a stream."""

    status: int
    headers: list[Header]
    content: bytes


class InProcess:
    """Sends requests to a host, in the event loop in which that was started."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._tasks: set[asyncio.Task[None]] = set()

    async def answer(
        self, method: str, target: str, headers: Iterable[Header] = (), body: bytes | None = None
    ) -> Response:
        """The whole answer to a request; `target` is the raw path with the query.

        Who is cancelled leaves, as a client does that closes its connection: what the request
        began is finished.
        """
        exchange = _Exchange(body)
        task = self._begin(exchange, method, target, headers)
        try:
            await asyncio.shield(task)
        finally:
            exchange.leave()
        return Response(exchange.status, exchange.headers, b"".join(exchange.chunks))

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Iterable[Header] = ()
    ) -> AsyncIterator[Streamed]:
        """An answer that is read as it comes, until the context ends."""
        exchange = _Exchange(None, ahead=HELD_CHUNKS)
        task = self._begin(exchange, method, target, headers)
        try:
            await exchange.started.wait()
            yield Streamed(exchange.status, exchange.headers, exchange.read)
        finally:
            exchange.leave()
            await asyncio.wait({task})

    async def finish(self) -> None:
        """Wait for what is under way; the host is asked before to close its streams."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _begin(
        self, exchange: _Exchange, method: str, target: str, headers: Iterable[Header]
    ) -> asyncio.Task[None]:
        raw_path, _, query = target.encode("ascii").partition(b"?")
        length = [] if exchange.body is None else [(b"content-length", b"%d" % len(exchange.body))]
        scope: Scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "server": None,
            "client": None,
            "scheme": "http",
            "method": method,
            "root_path": "",
            "path": unquote(raw_path.decode("ascii")),
            "raw_path": raw_path,
            "query_string": query,
            "headers": [_NAME, *headers, *length],
        }
        # A task of its own, as under a server: whoever asks may leave before it is done.
        task = asyncio.create_task(self._run(scope, exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run(self, scope: Scope, exchange: _Exchange) -> None:
        try:
            await self._host(scope, exchange.receive, exchange.send)
        finally:
            exchange.end()


class Streamed(NamedTuple):
    """The head of an answer, and its content as it comes."""

    status: int
    headers: list[Header]
    read: Callable[[], Awaitable[bytes | None]]
    """The next part of it; None when there is no more."""


class _Exchange:
    """One request and its answer, between ASGI and who asked."""

    def __init__(self, body: bytes | None, *, ahead: int | None = None) -> None:
        """`ahead` is how many chunks may wait for being read; None for all."""
        self.body = body
        self.status = 0
        self.headers: list[Header] = []
        self.chunks: deque[bytes] = deque()
        self.started = asyncio.Event()
        self._ahead = ahead
        self._is_read = False
        self._gone = asyncio.Event()
        self._ended = False
        self._news = asyncio.Event()
        """That there is a chunk, or that there will be none."""
        self._room = asyncio.Event()
        self._room.set()

    async def receive(self) -> Message:
        """What ASGI asks: the body once, then until the one who asked has left."""
        if not self._is_read:
            self._is_read = True
            return {"type": "http.request", "body": self.body or b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        """What ASGI answers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
            self.started.set()
        elif not self._gone.is_set() and (chunk := message.get("body", b"")):
            self.chunks.append(chunk)
            self._news.set()
            if self._ahead is not None and len(self.chunks) >= self._ahead:
                self._room.clear()
                await self._room.wait()

    async def read(self) -> bytes | None:
        """The next part of the content, or None when there is no more."""
        while not self.chunks:
            if self._ended:
                return None
            self._news.clear()
            await self._news.wait()
        self._room.set()
        return self.chunks.popleft()

    def end(self) -> None:
        """Nothing will come any more."""
        self._ended = True
        self.started.set()
        self._news.set()

    def leave(self) -> None:
        """Nobody waits for the answer any more."""
        self._gone.set()
        self._room.set()
