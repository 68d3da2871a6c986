"""uvicorn's HTTP protocol, with one system call for a response instead of two.

uvicorn writes the head of a response and its body one after the other, and each write is a system
call. What is written in one turn of the event loop is held here until its end and leaves together.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

MAX_HELD_BYTES = 64 * 1024
"""Beyond this much nothing is held, so that the real transport can say that it is full."""


class GatheringTransport:
    """A transport that writes once for each turn of the loop; everything else is the other's."""

    __slots__ = ("_chunks", "_held", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._chunks: list[bytes] = []
        self._held = 0

    def write(self, data: bytes) -> None:
        """Hold the data until the end of this turn."""
        if not self._chunks:
            self._loop.call_soon(self.flush)
        self._chunks.append(data)
        self._held += len(data)
        if self._held > MAX_HELD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._chunks:
            chunks, self._chunks, self._held = self._chunks, [], 0
            self._transport.writelines(chunks)

    def close(self) -> None:
        """Write what is held, then close."""
        self.flush()
        self._transport.close()

    def release(self) -> asyncio.Transport:
        """The other transport, with nothing held back from it."""
        self.flush()
        return self._transport

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class HostProtocol(HttpToolsProtocol):
    """One connection; websockets get the bare transport."""

    def connection_made(  # type: ignore[override] # as uvicorn narrows it
        self, transport: asyncio.Transport
    ) -> None:
        """Begin to serve a connection."""
        self._gathering = GatheringTransport(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, self._gathering))

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over to the websocket protocol."""
        self.transport = self._gathering.release()
        super().handle_websocket_upgrade()
