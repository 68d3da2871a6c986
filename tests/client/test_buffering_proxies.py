"""Event streams through proxies that collect answers, and compress them, before they pass them on.

Such a proxy holds back what comes in small pieces for as long as the stream is open. It lets one
through that says `X-Accel-Buffering: no`, and compresses none that says `no-transform`.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from buntime_keyval import AsyncKv
from support.nginx import running_nginx
from support.waiting import until

pytestmark = pytest.mark.slow


class Collecting:
    """A proxy that follows what answers say of buffering and compression; it does what it may."""

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._upstream = (parts.hostname, parts.port)
        self.serving: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request of one connection."""
        self.serving.add(asyncio.current_task())
        try:
            await self._serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self.serving.discard(asyncio.current_task())

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        there, back = await asyncio.open_connection(*self._upstream)
        try:
            size = int(_header(head, b"content-length") or 0)
            lines = head[:-4] + b"\r\nconnection: close\r\n\r\n"
            back.write(lines + await reader.readexactly(size))
            await self._answer(head, there, writer)
        finally:
            back.transport.abort()
        writer.close()
        await writer.wait_closed()

    async def _answer(
        self, asked: bytes, there: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        head = await there.readuntil(b"\r\n\r\n")
        collects = _header(head, b"x-accel-buffering") != b"no"
        packs = b"gzip" in (_header(asked, b"accept-encoding") or b"")
        if b"no-transform" in (_header(head, b"cache-control") or b""):
            packs = False
        chunked = b"chunked" in (_header(head, b"transfer-encoding") or b"")
        pack = zlib.compressobj(wbits=31)
        lines = [line for line in head[:-4].split(b"\r\n") if not _is_framing(line)]
        lines += [b"connection: close", *([b"content-encoding: gzip"] if packs else [])]
        held = b"\r\n".join([*lines, b"", b""])
        if not collects:
            writer.write(held)
            held = b""
        size = int(_header(head, b"content-length") or 0)
        async for piece in _chunks(there) if chunked else _whole(there, size):
            held += pack.compress(piece) if packs else piece
            if not collects:
                writer.write(held)
                held = b""
        writer.write(held + (pack.flush() if packs else b""))
        await writer.drain()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    while size := int(await reader.readline(), 16):
        yield await reader.readexactly(size)
        await reader.readline()


async def _whole(reader: asyncio.StreamReader, size: int) -> AsyncIterator[bytes]:
    yield await reader.readexactly(size)


def _header(head: bytes, name: bytes) -> bytes | None:
    for line in head.split(b"\r\n")[1:]:
        found, _, value = line.partition(b":")
        if found.lower() == name:
            return value.strip().lower()
    return None


def _is_framing(line: bytes) -> bool:
    names = (b"content-length", b"transfer-encoding", b"connection")
    return line.partition(b":")[0].lower() in names


@asynccontextmanager
async def collecting(api: str) -> AsyncIterator[str]:
    proxy = Collecting(api)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{urlsplit(api).path}"
        server.close()
        for task in tuple(proxy.serving):
            if task is not None:
                task.cancel()
        await until(lambda: not proxy.serving)


NGINX = """
gzip on; gzip_types *; gzip_min_length 1; gzip_proxied any;
server {{
  listen 127.0.0.1:PORT;
  location / {{ proxy_pass {origin}; proxy_buffering on; proxy_set_header Host $http_host; }}
}}
"""


@asynccontextmanager
async def nginx(api: str, folder: Path) -> AsyncIterator[str]:
    parts = urlsplit(api)
    with running_nginx(folder, NGINX.format(origin=f"{parts.scheme}://{parts.netloc}")) as port:
        yield f"http://127.0.0.1:{port}{parts.path}"


@pytest.fixture(params=["collecting", "nginx"])
async def behind(request: pytest.FixtureRequest, api: str, tmp_path: Path) -> AsyncIterator[str]:
    """The API behind a proxy."""
    made = collecting(api) if request.param == "collecting" else nginx(api, tmp_path)
    async with made as url:
        yield url


async def test_events_come_while_the_stream_is_open(behind: str, api: str) -> None:
    async with AsyncKv(behind) as kv, AsyncKv(api) as direct:
        seen: list[Any] = []
        handled: list[Any] = []
        watch = kv.watch(["p"], lambda entries: seen.extend(e.value for e in entries))
        listener = kv.listen_queue(lambda message: handled.append(message.value))
        for number in range(3):
            await direct.set(["p", number], number)
            await direct.enqueue(number)
            await until(lambda: len(seen) == len(handled) == number + 1)  # noqa: B023 - at once
        await watch.stop()
        await listener.stop()
        assert (await kv.get(["p", 1])).value == 1


@pytest.mark.parametrize("path", ["/watch/prefix?prefix=p", "/queue/listen"])
async def test_browsers_that_take_gzip_get_them_too(behind: str, api: str, path: str) -> None:
    headers = {"accept": "text/event-stream", "accept-encoding": "gzip"}
    async with (
        AsyncKv(api) as direct,
        httpx2.AsyncClient() as http,
        http.stream("GET", behind + path, headers=headers) as answer,
    ):
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        received: list[str] = []

        async def read() -> None:
            async for text in answer.aiter_text():
                received.append(text)  # noqa: PERF401 - seen while it comes

        reading = asyncio.create_task(read())
        for number in range(3):
            text = f"event-{number}"
            await direct.set(["p", number], text)
            await direct.enqueue(text)
            await until(lambda: f'"event-{number}"' in "".join(received))  # noqa: B023 - at once
        reading.cancel()
        await asyncio.wait([reading])
