"""A TCP proxy that spoils connections on demand.

It runs on a loop of its own, in a thread, so that tests that block can have it too.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from support.waiting import PATIENCE

UNAVAILABLE = b'{"error":"not now","code":"KEYVAL_DB_DOWN"}'


class Proxy:
    """Forwards to `upstream`; what it may do to the bytes is in its attributes."""

    def __init__(self, upstream: str, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.retarget(upstream)
        self.connections = 0
        """Accepted so far."""
        self.canned: bytes | None = None
        """An answer to give to every request in the place of the server's."""
        self.cut_after: int | None = None
        """Bytes of answers that pass before the connection is cut; once."""
        self.cut_always_after: int | None = None
        """The same for each new connection."""
        self.piece: int | None = None
        """Size of the pieces that answers arrive in."""
        self.delay = 0.0
        """Seconds that each part of an answer is held back."""
        self._server: asyncio.Server | None = None
        self._port = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self._port}{self._path}"

    def retarget(self, upstream: str) -> None:
        """Forward to another server from now on."""
        parts = urlsplit(upstream)
        assert parts.hostname is not None
        assert parts.port is not None
        self._upstream = (parts.hostname, parts.port)
        self._path = parts.path

    def start(self) -> None:
        """Listen, on the same port again if it did before."""
        self._run(self._start())

    def refuse(self) -> None:
        """Cut everything and refuse connections until `start`."""
        self._run(self._refuse())

    def cut(self) -> None:
        """Cut every open connection."""
        self._run(self._cut())

    def unavailable(self, body: bytes = UNAVAILABLE) -> None:
        """Answer 503 from now on, until `canned` is None again."""
        head = f"HTTP/1.1 503 Service Unavailable\r\ncontent-length: {len(body)}\r\n"
        head += "content-type: application/json\r\nconnection: close\r\n\r\n"
        self.canned = head.encode() + body

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _cut(self) -> None:
        for writer in tuple(self._writers):
            writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._writers.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        canned = self.canned
        if canned is not None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(canned)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
            return
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        self._writers.add(up_writer)
        try:
            up = asyncio.create_task(_copy(reader, up_writer))
            down = asyncio.create_task(self._down(up_reader, writer))
            _, pending = await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            for task in pending:
                task.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
        finally:
            self._writers.discard(up_writer)
            up_writer.transport.abort()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        left = self.cut_always_after
        while data := await reader.read(65536):
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.cut_after is not None:
                left, self.cut_after = self.cut_after, None
            if left is not None:
                data, left = data[:left], left - len(data)
            for start in range(0, len(data), self.piece or len(data) or 1):
                writer.write(data[start : start + (self.piece or len(data))])
                await writer.drain()
                if self.piece:
                    await asyncio.sleep(0)
            if left is not None and left <= 0:
                await asyncio.sleep(0.01)  # let what may pass arrive before the reset
                return


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@contextmanager
def proxy_to(upstream: str) -> Iterator[Proxy]:
    """A running proxy."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    proxy = Proxy(upstream, loop)
    try:
        proxy.start()
        yield proxy
        proxy.refuse()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
