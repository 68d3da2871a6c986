"""When connections are read from: those that send much take turns.

The kernel holds megabytes of each connection, and hands over a quarter of one at once: what it has
of a hundred uploads, read in one turn of the event loop, kept everybody else waiting for 90 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl

AT_ONCE = 8
"""Whose turn it is in one turn of the loop: 2 MB of bodies, which take some 2 ms."""

LARGE_READ_BYTES = 32 * 1024
"""Who has sent more than that at once is read from again when his next turn comes."""


class ReadTurns:
    """Who waits to go on, in order, on the event loop that runs."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._unread: dict[FlowInTurns, None] = {}
        """Whose turn it was, but nothing has come since."""
        self._read = 0
        """How many have read much in this turn of the loop."""
        self._is_called = False

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call something when its turn comes, in a later turn of the loop."""
        self._waiting.append(go_on)
        self._call()

    def begin(self, reading: FlowInTurns) -> None:
        """A connection reads on, as its turn has come."""
        self._unread[reading] = None

    def end(self, reading: FlowInTurns) -> None:
        """Much has come, so the turn of the connection is over."""
        self._unread.pop(reading, None)
        self._read += 1
        self._call()
        if self._read >= AT_ONCE and self._unread:
            # What these were waiting for may have come by now, and would be read in this turn.
            unread, self._unread = self._unread, {}
            for other in unread:
                other.wait_for_turn()

    def forget(self, reading: FlowInTurns) -> None:
        """The connection has ended."""
        self._unread.pop(reading, None)

    def _call(self) -> None:
        if not self._is_called:
            self._is_called = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_called = False
        self._read = 0
        for _ in range(min(len(self._waiting), AT_ONCE)):
            self._waiting.popleft()()
        if self._waiting:
            self._call()


class FlowInTurns(FlowControl):
    """A connection is read from unless there is a reason against it.

    There are three: whoever takes what is read wants no more for now (`pause_reading`), something
    that was read has to wait (`hold`), and it is the turn of others.
    """

    def __init__(self, transport: asyncio.Transport, turns: ReadTurns) -> None:
        super().__init__(transport)
        self._turns = turns
        self.held = False
        self._is_wanted = True
        self._needs_turn = self._is_queued = self._has_ended = False

    def pause_reading(self) -> None:
        """Read nothing before `resume_reading`."""
        self._is_wanted = False
        super().pause_reading()

    def resume_reading(self) -> None:
        """Read on, as soon as nothing is against it."""
        self._is_wanted = True
        if self.read_paused:
            self._read_on()

    def hold(self) -> None:
        """Read nothing while `held` is set."""
        self.held = True
        super().pause_reading()

    def has_read(self, size: int) -> None:
        """Take note of what has come."""
        if size > LARGE_READ_BYTES and not self._has_ended:
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
        super().resume_reading()
        self._turns.begin(self)

    def end(self) -> None:
        """The connection is gone, or somebody else's, who finds that it is read from."""
        self._has_ended = True
        self._turns.forget(self)
        super().resume_reading()


class TurnTakingTransport:
    """A transport whose reading takes turns; everything else is the other's."""

    def __init__(self, transport: asyncio.Transport, turns: ReadTurns) -> None:
        self._transport = transport
        self.reading = FlowInTurns(transport, turns)
        self.pause_reading = self.reading.pause_reading
        self.resume_reading = self.reading.resume_reading

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
