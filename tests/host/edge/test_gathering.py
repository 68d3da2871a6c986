"""What is held for the end of a turn of the loop, and a client that leaves within it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
import uvloop
from buntime_host.connections.transport import GatheringTransport
from support.waiting import PATIENCE


class Answering(asyncio.Protocol):
    """Loses its client, and answers in the same turn."""

    def __init__(self, lost: asyncio.Future[None]) -> None:
        self._lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        gathering = GatheringTransport(self._transport, asyncio.get_running_loop())
        self._transport.abort()  # as the loop does when the connection is reset
        gathering.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        # What is held is written after this, so that is waited for, too.
        asyncio.get_running_loop().call_soon(self._lost.set_result, None)


@pytest.mark.parametrize("new_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_what_is_held_for_a_client_that_leaves_is_dropped(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    failures: list[dict[str, Any]] = []

    async def serve() -> bytes:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: failures.append(context))
        lost: asyncio.Future[None] = loop.create_future()
        async with await loop.create_server(lambda: Answering(lost), "127.0.0.1", 0) as server:
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(b"asked")
            await lost
            writer.close()
            try:
                return await reader.read()
            except ConnectionError:
                return b""

    with asyncio.Runner(loop_factory=new_loop) as runner:
        assert runner.run(asyncio.wait_for(serve(), PATIENCE)) == b""
    assert failures == []
