"""What the proxy of the soak loses: answers of anything, or of commits alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from buntime_soak.proxy import COMMIT, Proxy, proxy_to

READ = b"SELECT 1\n"
WRITE = COMMIT + b"\n"


@pytest.fixture
async def proxy() -> AsyncIterator[Proxy]:
    """Before a server that answers each line with itself."""
    asked: set[asyncio.StreamWriter] = set()

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.add(writer)
        async for line in reader:
            writer.write(line)

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxy_to(f"http://127.0.0.1:{port}") as proxy:
        yield proxy
        for writer in asked:
            writer.transport.abort()


class Client:
    """A connection through the proxy, made anew where it was cut."""

    def __init__(self, proxy: Proxy) -> None:
        self._port = int(proxy.address.rpartition(":")[2])
        self._ends: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, *parts: bytes) -> bytes:
        """What was answered, nothing if the connection was cut."""
        if self._ends is None:
            self._ends = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._ends
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.02)  # so that each part comes by itself
        try:
            answer = await reader.readline()
        except ConnectionError:
            answer = b""
        if not answer:
            self.close()
        return answer

    def close(self) -> None:
        if self._ends is not None:
            self._ends[1].transport.abort()
        self._ends = None


@pytest.fixture
async def client(proxy: Proxy) -> AsyncIterator[Client]:
    client = Client(proxy)
    yield client
    client.close()


async def test_it_loses_the_next_answers_of_anything(proxy: Proxy, client: Client) -> None:
    proxy.lose(2)
    assert [await client.ask(line) for line in (READ, WRITE, WRITE)] == [b"", b"", WRITE]
    assert proxy.lost == 2


async def test_it_loses_the_next_answers_of_commits(proxy: Proxy, client: Client) -> None:
    proxy.lose(2, of_commits=True)
    lines = (READ, WRITE, READ, WRITE, READ, WRITE)
    assert [await client.ask(line) for line in lines] == [READ, b"", READ, b"", READ, WRITE]
    assert proxy.lost == 2


async def test_it_knows_a_commit_that_comes_in_parts(proxy: Proxy, client: Client) -> None:
    proxy.lose(1, of_commits=True)
    assert await client.ask(WRITE[:5], WRITE[5:9], WRITE[9:]) == b""


async def test_what_was_answered_on_a_connection_is_forgotten(proxy: Proxy, client: Client) -> None:
    assert await client.ask(WRITE) == WRITE
    proxy.lose(1, of_commits=True)
    assert await client.ask(READ) == READ
    proxy.release()
    assert await client.ask(WRITE) == WRITE
