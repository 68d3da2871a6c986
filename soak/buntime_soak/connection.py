"""HTTP over one connection at a time, without retries.

A client library may send a request again, or hide whether it was sent. Here a request is sent
once, and what is not known about it is said: `NotSent` and `NoAnswer` are different exceptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 12.0
"""Longer than a server waits for the lock, or for a database that hangs."""
STREAM_LIMIT = 1 << 24
"""Longest line of an event."""


class NotSent(Exception):
    """No connection could be made: the server never saw the request."""


class NoAnswer(Exception):
    """The request was sent, or part of it, and no complete answer came."""


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """The body. Raises `ValueError` where it is no JSON."""
        return json.loads(self.body)


class Event(NamedTuple):
    """One event of a stream; `data` is decoded JSON, None where there is none."""

    name: str
    data: Any
    id: str | None


class Connection:
    """Requests to one address, one after another."""

    def __init__(self, address: str) -> None:
        """`address` is an origin such as `http://127.0.0.1:8000`."""
        parts = urlsplit(address)
        self._host, self._port = parts.hostname, parts.port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """Send a request once. Raises `NotSent` or `NoAnswer`."""
        reader, writer = await self._connected()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                writer.write(_request_bytes(method, path, self._host, body, headers))
                await writer.drain()
                answer = await _read_answer(reader)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.close()
            raise NoAnswer(repr(error)) from error
        except BaseException:
            self.close()  # cancelled half way: the next answer would be of this request
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def close(self) -> None:
        """Drop the connection; the next request makes another one."""
        streams, self._streams = self._streams, None
        if streams is not None:
            streams[1].transport.abort()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is not None:
            reader, writer = self._streams
            # One that the server has closed meanwhile would leave the outcome open for nothing.
            if not reader.at_eof() and reader.exception() is None and not writer.is_closing():
                return self._streams
            self.close()
        self._streams = await _connect(self._host, self._port)
        return self._streams


class Stream:
    """An event stream. Has to be closed."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, address: str, path: str, headers: Mapping[str, str]) -> Stream:
        """Raises `NotSent` or `NoAnswer`, also where the answer is no stream."""
        parts = urlsplit(address)
        reader, writer = await _connect(parts.hostname, parts.port)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                writer.write(_request_bytes("GET", path, parts.hostname, None, headers))
                status, fields = await _read_head(reader)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            writer.transport.abort()
            raise NoAnswer(repr(error)) from error
        except BaseException:
            writer.transport.abort()
            raise
        if status != 200 or fields.get("transfer-encoding") != "chunked":
            writer.transport.abort()
            raise NoAnswer(f"status {status}")
        return cls(reader, writer)

    async def events(self) -> AsyncGenerator[Event, None]:
        """Events, pings too, until the stream ends in whatever way."""
        text = b""
        with contextlib.suppress(OSError, EOFError, ValueError):
            while True:
                size = int(await self._reader.readuntil(b"\r\n"), 16)
                chunk = await self._reader.readexactly(size + 2)
                if not size:
                    return
                *frames, text = (text + chunk[:-2]).split(b"\n\n")
                for frame in frames:
                    yield _parse_event(frame.decode())

    def leave(self) -> None:
        """Let the server know that this client goes, and go on reading what was sent before."""
        with contextlib.suppress(OSError):
            self._writer.write_eof()

    def close(self) -> None:
        self._writer.transport.abort()


async def _connect(
    host: str | None, port: int | None
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    opening = asyncio.create_task(asyncio.open_connection(host, port, limit=STREAM_LIMIT))
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            return await asyncio.shield(opening)
    except (OSError, TimeoutError) as error:
        _drop(opening)
        raise NotSent(repr(error)) from error
    except BaseException:
        _drop(opening)
        raise


def _drop(opening: asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    """Close a connection that nobody waits for any more, also one that comes about just now."""

    def close(done: asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
        if not done.cancelled() and done.exception() is None:
            done.result()[1].transport.abort()

    opening.cancel()
    opening.add_done_callback(close)


def _request_bytes(
    method: str, path: str, host: str | None, body: Any, headers: Mapping[str, str] | None
) -> bytes:
    content = b"" if body is None else json.dumps(body, separators=(",", ":")).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}"]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    status, *lines = head.rstrip("\r\n").split("\r\n")
    fields = (line.partition(":") for line in lines)
    return int(status.split()[1]), {name.lower(): value.strip() for name, _, value in fields}


async def _read_answer(reader: asyncio.StreamReader) -> Answer:
    status, headers = await _read_head(reader)
    if headers.get("transfer-encoding") == "chunked":
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(status, headers, body)


def _parse_event(text: str) -> Event:
    fields = dict(line.partition(": ")[::2] for line in text.split("\n"))
    data = fields.get("data", "")
    return Event(fields.get("event", ""), json.loads(data) if data else None, fields.get("id"))
