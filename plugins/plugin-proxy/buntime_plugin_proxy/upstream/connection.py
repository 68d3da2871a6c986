"""One connection to a target: a request goes out, its answer comes in, then the next.

Bodies of both directions go through in parts, and the faster side waits for the other.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple, cast

import httptools
from buntime_host import DirectRequest

from buntime_plugin_proxy.upstream.errors import BadGateway, StaleConnection
from buntime_plugin_proxy.upstream.known_heads import (
    END_OF_HEAD,
    Headers,
    KnownAnswerHead,
    TargetHeads,
)
from buntime_plugin_proxy.upstream.origin import Origin

MOST_HELD = 256 * 1024
"""The most bytes of an answer that wait for a slow client before reading from the target stops."""
MOST_AWAITED = 64 * 1024
"""Bytes of a content below which a waiter without a task is woken only when all of it has
arrived."""
LONGEST_HEAD = 64 * 1024
MOST_INFORMATIONAL = 20
"""Most answers such as 103 before the final one."""
_NO_CONTENT = (204, 304)
_CONTROLS = bytes([*range(9), *range(10, 32), 127])


class Head(NamedTuple):
    """The beginning of an answer; names of headers are in small letters."""

    status: int
    headers: Headers


class TargetLane:
    """The state that belongs to one target."""

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.idle: list[TargetConnection] = []
        """Idle connections; the most recently used is at the end, and is used next."""
        self.open = 0
        """The number of connections in use or being made."""
        self.waiting: deque[asyncio.Future[None]] = deque()


class TargetConnection(asyncio.Protocol):
    """A connection to one target, for one exchange at a time."""

    def __init__(
        self, lane: TargetLane, loop: asyncio.AbstractEventLoop, heads: TargetHeads
    ) -> None:
        self.lane = lane
        self.used = False
        """Whether it has carried an answer before."""
        self.closed = False
        self.moved_at = 0.0
        """When data was last sent or received."""
        self.status = 0
        """Status of the answer; 0 until its head has arrived."""
        self.headers: Headers = []
        self.known: KnownAnswerHead | None = None
        """The head of the answer, if the whole answer came at once."""
        self.ended = True
        """Whether the answer is complete; True between two exchanges."""
        self.expects_soon = True
        """Whether silence of the target is a failure."""
        self.asker: DirectRequest | None = None
        """The waiter without a task, which may leave meanwhile."""
        self.reading_paused = False
        self._loop = loop
        self._transport: asyncio.Transport
        self._heads = heads
        self._parser: Any = None
        """Headers of this answer, unless its head is known."""
        self._head_alone = b""
        """A known head, whose answer has nothing else yet."""
        self._first = b""
        """The head, if all of it came at once."""
        self._head_only = False
        self._is_small = False
        """Whether the answer has a declared length, which is small."""
        self._reusable = False
        self._until_close = False
        self._parts: list[bytes] = []
        self._held = 0
        self._head_size = 0
        self._informational = 0
        self.failure: Exception | None = None
        """Why the rest of the answer will not come; None as long as it may."""
        self._news: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None
        self._writing_paused = False

    # Called by the exchange

    def begin(self, head: bytes, *, head_only: bool) -> None:
        """Send a request, or its head. `head_only` tells that its method is HEAD."""
        self.status = 0
        self.headers = []
        self.ended = False
        self.expects_soon = True
        self._parser = self.known = None
        self._head_alone = self._first = b""
        self._head_only = head_only
        self._reusable = self._until_close = self._is_small = False
        self._head_size = self._informational = 0
        self.moved_at = self._loop.time()
        self._transport.write(head)

    async def write(self, data: bytes) -> None:
        """Send a part of the body, once there is room. Raises `BadGateway`."""
        if self._writing_paused and not self.closed:
            self._room = self._loop.create_future()
            await self._room
        if self.closed:
            raise self.failure or BadGateway("the target closed the connection")
        self.moved_at = self._loop.time()
        self._transport.write(data)

    async def head(self) -> Head:
        """The beginning of the answer. Raises `BadGateway`, or the error given to `fail`."""
        while not self.status:
            if self.failure is not None:
                raise self.failure
            await self.news()
        return Head(self.status, self.headers)

    def taken(self) -> bytes:
        """The part of the body since the last call. Raises as `head` does, at its end."""
        if not self._parts:
            if self.failure is not None:
                raise self.failure
            return b""
        parts, self._parts, self._held = self._parts, [], 0
        if self.reading_paused and not self.closed:
            self.reading_paused = False
            self.moved_at = self._loop.time()
            self._transport.resume_reading()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def next_news(self) -> asyncio.Future[None]:
        """A future that is done once something has come, or the connection has ended."""
        self._news = self._loop.create_future()
        return self._news

    async def news(self) -> None:
        """Wait until something has come."""
        try:
            await self.next_news()
        finally:
            self._news = None

    @property
    def is_reusable(self) -> bool:
        """Whether it may carry another exchange: nothing of this one is left."""
        return self.ended and self._reusable and not self.closed and not self._parts

    def fail(self, error: Exception) -> None:
        """Close it, and give the waiter the reason."""
        if self.failure is None:
            self.failure = error
        self.close()
        self.wake()

    def close(self) -> None:
        """Close it at once."""
        self.closed = True
        self._transport.abort()

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if self.ended:
            # Unrequested bytes: they would be taken for the answer to the next request.
            self.close()
            return
        self.moved_at = self._loop.time()
        if self._parser is None:
            self._begin_answer(data)
        else:
            self._feed(data)
        if self.ended or self.asker is None or not self._is_soon_whole:
            self.wake()

    @property
    def _is_soon_whole(self) -> bool:
        """Whether to wait for the rest, which many targets send directly after the head."""
        return self.failure is None and (self._is_small or not self.status)

    def _begin_answer(self, data: bytes) -> None:
        data, self._head_alone = self._head_alone + data, b""
        whole = None if self._head_only else self._heads.find(data)
        if whole is not None:
            self.known, body = whole
            self.status, self.headers = self.known.status, self.known.headers
            if body:
                self._parts.append(body)
            self._held += len(body)
            self._reusable = self.ended = True
        elif self.asker is not None and self._heads.has(data):
            self._head_alone = data
        else:
            self._parse(data)

    def _parse(self, data: bytes) -> None:
        self._parser = httptools.HttpResponseParser(self)
        end = data.find(END_OF_HEAD)
        self._first = data[: end + len(END_OF_HEAD)] if end >= 0 else b""
        self._feed(data)

    def _learn(self) -> None:
        """Remember the head of an answer that is complete, if it came at once."""
        if self._first and self._is_small and self._reusable and not self._informational:
            whole = self._first + b"".join(self._parts)
            self.known = self._heads.learn(whole, self.status, self.headers)

    def _feed(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            if not self.ended:
                wrong = "is not HTTP/1.1"
                if self._head_size > LONGEST_HEAD:
                    wrong = f"has a head of more than {LONGEST_HEAD} bytes"
                self.fail(BadGateway(f"the target's answer {wrong}"))
            self._reusable = False
        except httptools.HttpParserUpgrade:
            self.fail(BadGateway("the target changed the protocol without being asked"))
        else:
            if self.ended:
                self._learn()

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        self._read_head()
        if not self.ended and self.failure is None:
            if self.status and self._until_close and exc is None:
                self.ended = True
            elif self.status:
                self.failure = BadGateway("the target closed the connection within its answer")
            else:
                kind = StaleConnection if self.used else BadGateway
                self.failure = kind("the target closed the connection without an answer")
        self.wake()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        self.moved_at = self._loop.time()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # Called by the parser

    def on_message_begin(self) -> None:
        """See httptools."""
        if self.status:
            self._reusable = False  # more than one answer to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        """See httptools. Also called for trailers, which are dropped."""
        if self.status:
            return
        self._head_size += len(name) + len(value) + 4
        if self._head_size > LONGEST_HEAD:
            raise ValueError("the head of an answer is too long")
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """See httptools."""
        if self.status:
            raise ValueError("a second answer")
        status = self._parser.get_status_code()
        if status < 200:
            self._informational += 1
            if self._informational > MOST_INFORMATIONAL:
                raise ValueError("it is announced for ever")
            self.headers = []
            return
        lengths = set()
        encoding = b""
        for name, value in self.headers:
            if len(value.translate(None, _CONTROLS)) != len(value):
                raise ValueError("a header has a control character")
            if name == b"content-length":
                lengths.add(value.strip())
            elif name == b"transfer-encoding":
                encoding += value.strip().lower()
        # A reader with other rules than ours would see other answers than we do.
        if len(lengths) > 1 or (lengths and encoding) or encoding not in (b"", b"chunked"):
            raise ValueError("its length can be read in two ways")
        self.status = status
        self._reusable = self._parser.should_keep_alive()
        if self._head_only or status in _NO_CONTENT:
            self.ended = True
        else:
            self._until_close = not lengths and not encoding
            self._is_small = bool(lengths) and int(lengths.pop()) <= MOST_AWAITED

    def on_body(self, data: bytes) -> None:
        """See httptools."""
        if self.ended:
            self._reusable = False
            raise ValueError("a content that must not be there")
        self._parts.append(data)
        self._held += len(data)
        if self._held > MOST_HELD and not self.reading_paused:
            self.reading_paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """See httptools."""
        if self.status:
            self.ended = True

    def tell(self) -> None:
        """Let the waiter for all of a small answer go on with the present part."""
        self._read_head()
        if self.status:
            self.wake()

    def _read_head(self) -> None:
        """Parse a known head that came alone, since its content is late."""
        head, self._head_alone = self._head_alone, b""
        if head:
            self._parse(head)

    def wake(self) -> None:
        """Wake the waiter for news."""
        news = self._news
        if news is not None and not news.done():
            news.set_result(None)
