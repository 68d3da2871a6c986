"""A way to a PostgreSQL server on which connections break just when a transaction commits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Literal

COMMIT = b"COMMIT\0"
COMMITTED = b"COMMIT\0"
READS, WRITES = b" READ ONLY", b" READ WRITE"
CHUNK_BYTES = 65_536

Fate = Literal["passes", "answer lost", "request lost"]


class Cutting:
    """Forwards to a port of this machine. What becomes of commits is the test's to say."""

    def __init__(self, port: int) -> None:
        self.fate: Fate = "passes"
        """Of the commits from now on; their connections break at once."""
        self.is_away = False
        """Whether connections are refused, and those that are there end when they are used."""
        self.away_after_cut = False
        self.cuts = 0
        """Commits so far whose connection broke."""
        self._port = port

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        if self.is_away:
            writer.transport.abort()
            return
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        cut = asyncio.Event()
        back = asyncio.create_task(self._back(from_server, writer, cut))
        writes = False
        try:
            while data := await reader.read(CHUNK_BYTES):
                if self.is_away:
                    break
                writes = WRITES in data or (writes and READS not in data)
                if data.endswith(COMMIT) and writes and self.fate != "passes":
                    self.cuts += 1
                    self.is_away = self.away_after_cut
                    if self.fate == "request lost":
                        break
                    cut.set()
                to_server.write(data)
        except ConnectionError:
            pass
        finally:
            if cut.is_set():
                await asyncio.wait([back])
            back.cancel()
            with suppress(asyncio.CancelledError, ConnectionError):
                await back
            to_server.transport.abort()
            writer.transport.abort()

    async def _back(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, cut: asyncio.Event
    ) -> None:
        while data := await reader.read(CHUNK_BYTES):
            if cut.is_set() and COMMITTED in data:
                writer.transport.abort()
                return
            writer.write(data)
        writer.transport.abort()


@asynccontextmanager
async def cutting_link(port: int) -> AsyncIterator[tuple[Cutting, int]]:
    """A running link, and its port."""
    cutting = Cutting(port)
    server = await asyncio.start_server(cutting.serve, "127.0.0.1", 0)
    try:
        yield cutting, server.sockets[0].getsockname()[1]
    finally:
        server.close()
