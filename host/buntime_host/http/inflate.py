"""Compressed request bodies: plugins see them plain, within the same limit."""

from __future__ import annotations

import asyncio
import zlib
from collections import deque

from starlette.types import Message, Receive

from buntime_host.errors import BadRequest, PayloadTooLarge, UnsupportedEncoding
from buntime_host.http.rest import rest

ACCEPTED = "gzip, identity"
PIECE_BYTES = 64 * 1024
"""Largest part that is inflated at a time; other requests have their turn between two parts."""

PIECES_AT_ONCE = 10
"""Pieces that are inflated, in at most 0.4 ms, before the threads get their turn."""

_FEED_BYTES = 16 * 1024
"""Bytes that the inflater gets at a time: it returns a copy of those that it has not used."""

_GZIP = 16 + zlib.MAX_WBITS


def is_gzip(encoding: bytes) -> bool:
    """Whether the header `Content-Encoding` says gzip; otherwise the body is plain.

    Raises `UnsupportedEncoding` for everything else, several encodings in a row included.
    """
    names = [name.strip().lower() for name in encoding.split(b",")]
    names = [name for name in names if name not in (b"", b"identity")]
    if not names:
        return False
    if names in ([b"gzip"], [b"x-gzip"]):
        return True
    raise UnsupportedEncoding(
        f"Content-Encoding {encoding[:80].decode('latin-1')!r} is not understood,"
        f" use one of {ACCEPTED}",
        headers={"Accept-Encoding": ACCEPTED},
    )


class Inflated:
    """Wraps `receive` of one request with a gzip body.

    Nothing is inflated before the whole body has arrived: otherwise a client could send little,
    which becomes much, and then wait while the host holds the much. After that it is inflated a
    piece at a time as it is read. A `BodyLimit` around it counts the plain bytes.
    """

    def __init__(self, limit: int, receive: Receive) -> None:
        """`limit` is for the compressed bytes, of which many may inflate to nothing."""
        self._receive = receive
        self._left = limit
        self._inflater = zlib.decompressobj(_GZIP)
        self._chunks: deque[memoryview] = deque()
        """Bytes that the inflater has not taken, once the body is complete."""
        self._complete = self._ended = False
        self._pieces = 0

    async def receive(self) -> Message:
        """The next part of the plain body.

        Raises `BadRequest` for a body that is not gzip, is cut off or continues behind its end, and
        `PayloadTooLarge` for too many compressed bytes.
        """
        if self._ended:
            return await self._receive()
        while not self._complete:
            message = await self._receive()
            if message["type"] != "http.request":
                return message
            self._take(message)
        while True:
            self._pieces += 1
            await (asyncio.sleep(0) if self._pieces % PIECES_AT_ONCE else rest())
            piece = self._inflate()
            if piece or self._ended:
                return {"type": "http.request", "body": piece, "more_body": not self._ended}

    def _take(self, message: Message) -> None:
        chunk = message.get("body", b"")
        self._left -= len(chunk)
        if self._left < 0:
            raise PayloadTooLarge
        if chunk:
            self._chunks.append(memoryview(chunk))
        self._complete = not message.get("more_body", False)

    def _inflate(self) -> bytes:
        """Inflate the next bit of input, which may give nothing; nothing at the end as well."""
        fed = self._chunks[0][:_FEED_BYTES] if self._chunks else memoryview(b"")
        try:
            piece = self._inflater.decompress(fed, PIECE_BYTES)
        except zlib.error as error:
            raise _invalid(str(error)) from None
        if self._chunks:
            rest = self._chunks[0][len(fed) - len(self._inflater.unconsumed_tail) :]
            if rest:
                self._chunks[0] = rest
            else:
                self._chunks.popleft()
        if self._inflater.eof:
            if self._inflater.unused_data or self._chunks:
                raise _invalid("it continues after its end")
            self._ended = not piece
        elif not piece and not fed:
            raise _invalid("it is cut off")
        return piece


def _invalid(reason: str) -> BadRequest:
    return BadRequest(f"The body is not whole gzip: {reason}", code="INVALID_ENCODING")
