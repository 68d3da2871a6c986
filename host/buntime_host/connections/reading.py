"""Reading from a connection, unless there is a reason against it, and how much at once."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

from buntime_host.connections.turns import ReadTurns

FIRST_READ_BYTES = 32 * 1024
"""A connection that has sent that many bytes is read again when its next turn comes."""
TURN_READ_BYTES = 256 * 1024
"""Most bytes that are read of a connection in its turn."""

_first_read = memoryview(bytearray(FIRST_READ_BYTES))
_turn_read = memoryview(bytearray(TURN_READ_BYTES))
# One for all connections: received bytes are copied before anything else can be read.


class FlowInTurns(FlowControl):
    """Reads from a connection unless there is a reason against it.

    There are three: its consumer wants no more for now (`pause_reading`), something that was read
    has to wait (`hold`), and it is the turn of others.
    """

    def __init__(self, transport: asyncio.Transport, turns: ReadTurns) -> None:
        super().__init__(transport)
        self._turns = turns
        self.buffer = _first_read
        """The next bytes go there."""
        self.held = False
        self._is_wanted = True
        self._needs_turn = self._is_queued = self._has_ended = False

    def pause_reading(self) -> None:
        """Read nothing before `resume_reading`."""
        self._is_wanted = False
        super().pause_reading()

    def resume_reading(self) -> None:
        """Read on, as soon as no reason is left."""
        self._is_wanted = True
        if self.read_paused:
            self._read_on()

    def hold(self) -> None:
        """Read nothing while `held` is set."""
        self.held = True
        super().pause_reading()

    def has_read(self, size: int) -> None:
        """Note received bytes."""
        if size >= FIRST_READ_BYTES and not self._has_ended:
            self.wait_for_turn()
            self._turns.end(self)

    def wait_for_turn(self) -> None:
        """Read nothing before the next turn."""
        self._needs_turn = True
        super().pause_reading()
        self._read_on()

    def _read_on(self) -> None:
        if self.held or not self._is_wanted:
            return
        if not self._needs_turn:
            super().resume_reading()
        elif not self._is_queued:
            self._is_queued = True
            self._turns.wait(self._take_turn)

    def _take_turn(self) -> None:
        self._is_queued = False
        if self._has_ended or self.held or not self._is_wanted:
            return  # and asks for another one when it could use it
        self._needs_turn = False
        self.buffer = _turn_read
        super().resume_reading()
        self._turns.begin(self)

    def end(self) -> None:
        """The connection has ended, or has a new owner, which finds that it is read from."""
        self._has_ended = True
        self._turns.forget(self)
        super().resume_reading()


class ReadInParts(asyncio.BufferedProtocol):
    """A connection's bytes, passed to its protocol in parts of no more than it may send now.

    As an `asyncio.Protocol` it would get a quarter of a megabyte at once before its first turn.
    """

    def __init__(self, protocol: asyncio.Protocol, flow: FlowInTurns) -> None:
        self._protocol = protocol
        self._flow = flow

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - as the loop calls it
        """The buffer for the next part."""
        return self._flow.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Pass a part on."""
        self._protocol.data_received(self._flow.buffer[:nbytes].tobytes())

    def eof_received(self) -> bool | None:
        """See `asyncio.Protocol`."""
        return self._protocol.eof_received()

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._protocol.connection_lost(exc)


class TurnTakingTransport:
    """A transport whose reading takes turns; everything else is delegated."""

    def __init__(self, transport: asyncio.Transport, turns: ReadTurns) -> None:
        self._transport = transport
        self.reading = FlowInTurns(transport, turns)
        self.pause_reading = self.reading.pause_reading
        self.resume_reading = self.reading.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
