"""One write for what a turn of the event loop brings, seen from the other end of a socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from buntime_host.connections.transport import MAX_HELD_BYTES, GatheringTransport


class Wire(NamedTuple):
    """A transport and the socket at its other end."""

    transport: GatheringTransport
    far_end: socket.socket

    def arrived(self) -> bytes:
        """What one read gets, nothing if nothing is there."""
        try:
            return self.far_end.recv(1 << 20)
        except BlockingIOError:
            return b""


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    near_end, far_end = socket.socketpair()
    far_end.setblocking(False)
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, sock=near_end)
    with far_end:
        yield Wire(GatheringTransport(transport, loop), far_end)
        transport.abort()
        await asyncio.sleep(0)


async def test_writes_of_one_turn_leave_together_at_its_end(wire: Wire) -> None:
    wire.transport.write(b"head ")
    wire.transport.write(b"body")
    assert wire.arrived() == b""
    await asyncio.sleep(0)
    assert wire.arrived() == b"head body"


async def test_turns_are_written_one_by_one(wire: Wire) -> None:
    for frame in (b"first", b"second"):
        wire.transport.write(frame)
        await asyncio.sleep(0)
        assert wire.arrived() == frame


async def test_much_data_is_not_held(wire: Wire) -> None:
    wire.transport.write(b"a")
    wire.transport.write(b"b" * MAX_HELD_BYTES)
    assert wire.arrived()[:2] == b"ab"


async def test_closing_and_releasing_lose_nothing(wire: Wire) -> None:
    wire.transport.write(b"before ")
    plain = wire.transport.release()
    plain.write(b"after")
    assert wire.arrived() + wire.arrived() == b"before after"
    wire.transport.write(b"last")
    wire.transport.close()
    assert wire.transport.is_closing()
    assert wire.arrived() == b"last"
