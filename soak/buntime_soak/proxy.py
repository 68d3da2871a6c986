"""A TCP proxy that loses answers, cuts connections and holds them up, when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

CHUNK = 65536
COMMIT = b"BEGIN IMMEDIATE"
"""What requests that commit hold, and others do not."""


class Exchange:
    """What passes on one connection."""

    def __init__(self) -> None:
        self.commits = False
        """Whether the request that is not answered yet is one that commits."""
        self._end = b""

    def ask(self, data: bytes) -> None:
        """Look at the next part of a request."""
        data = self._end + data
        self.commits = self.commits or COMMIT in data
        self._end = data[1 - len(COMMIT) :]

    def answer(self) -> None:
        """Take note that an answer begins to pass."""
        self.commits = False


class Proxy:
    """Forwards what comes to `upstream`, byte by byte."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._to_lose = 0
        self._loses_reads = True
        self._open = asyncio.Event()
        self._open.set()
        self.lost = 0
        """Answers that were lost so far."""

    @property
    def address(self) -> str:
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def lose(self, answers: int, *, of_commits: bool = False) -> None:
        """Let the next requests through and cut their connections when answers come.

        With `of_commits` those of reads pass.
        """
        self._to_lose, self._loses_reads = answers, not of_commits

    def cut(self) -> None:
        """Cut every connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def hold(self) -> None:
        """Let nothing pass, in either direction, until `release`."""
        self._open.clear()

    def release(self) -> None:
        """Let everything pass; what was held comes first."""
        self._open.set()
        self._to_lose = 0

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)

    async def close(self) -> None:
        self.release()
        if self._server is not None:
            self._server.close()
        self.cut()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        try:
            with contextlib.suppress(OSError):
                await self._forward(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        self._writers.add(up_writer)
        exchange = Exchange()
        ways = [
            asyncio.create_task(self._ask(exchange, reader, up_writer)),
            asyncio.create_task(self._answer(exchange, up_reader, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            up_writer.transport.abort()
            self._writers.discard(up_writer)

    async def _ask(
        self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                exchange.ask(data)
                writer.write(data)
                await writer.drain()

    async def _answer(
        self, exchange: Exchange, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._open.wait()
                if self._to_lose and (self._loses_reads or exchange.commits):
                    self._to_lose -= 1
                    self.lost += 1
                    return
                exchange.answer()
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def proxy_to(upstream: str) -> AsyncIterator[Proxy]:
    """A running proxy, closed at the end."""
    proxy = Proxy(upstream)
    await proxy.start()
    try:
        yield proxy
    finally:
        await proxy.close()
