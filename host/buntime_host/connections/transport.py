"""A transport with one system call for a response instead of two.

The head of a response and its body are written one after the other, and each write is a system
call. Here, all writes of one turn of the event loop are held until its end and leave together.
"""

from __future__ import annotations

import asyncio
from typing import Any

MAX_HELD_BYTES = 64 * 1024
"""Above this size nothing is held, so that the real transport can report that it is full."""


class GatheringTransport:
    """A transport that writes once for each turn of the loop; everything else is delegated."""

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

    def write_whole(self, data: bytes) -> None:
        """Write a whole answer, which need not wait for more of it.

        It leaves at once, unless something is held before it.
        """
        if self._chunks:
            self.write(data)
        elif not self._transport.is_closing():
            self._transport.write(data)

    def flush(self) -> None:
        """Write what is held; nothing if the client has left meanwhile."""
        if self._chunks:
            chunks, self._chunks, self._held = self._chunks, [], 0
            if not self._transport.is_closing():
                self._transport.writelines(chunks)

    def close(self) -> None:
        """Write what is held, then close."""
        self.flush()
        self._transport.close()

    def abort(self) -> None:
        """Close at once, and drop what is held."""
        self._chunks.clear()
        self._held = 0
        self._transport.abort()

    def end_writing(self) -> None:
        """Write what is held, then tell the client that nothing more comes."""
        self.flush()
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def release(self) -> asyncio.Transport:
        """The other transport, with nothing held back from it."""
        self.flush()
        return self._transport

    def is_closing(self) -> bool:
        """Whether the connection is closed or about to be."""
        return self._transport.is_closing()

    def get_write_buffer_size(self) -> int:
        """Bytes that the client has not taken yet."""
        return self._held + self._transport.get_write_buffer_size()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
