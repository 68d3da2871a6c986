"""Turns of reading: connections that send much are read one after the other.

The kernel holds megabytes of each connection, and returns a quarter of one at once: reading a
hundred uploads in one turn of the event loop kept all others waiting for 90 ms. The same holds for
pipelined requests: some fifty of them are taken in at once, in a millisecond, and a hundred such
connections are answered in step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

AT_ONCE = 8
"""How many connections have their turn in one turn of the loop: 2 MB of bodies take some 2 ms,
requests some 8."""


class TakesTurns(Protocol):
    """A connection that is read from."""

    def wait_for_turn(self) -> None:
        """Read nothing before the next turn."""


class ReadTurns:
    """Connections that wait to go on, in order, on the running event loop."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._unread: dict[TakesTurns, None] = {}
        """Connections that had their turn without having received anything since."""
        self._read = 0
        """How many have read much in this turn of the loop."""
        self._is_called = False

    @property
    def are_taken(self) -> bool:
        """Whether as many as may have sent much in this turn of the loop."""
        return self._read >= AT_ONCE

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call a function when its turn comes, in a later turn of the loop."""
        self._waiting.append(go_on)
        self._call()

    def begin(self, reading: TakesTurns) -> None:
        """Let a connection read on, as its turn has come."""
        self._unread[reading] = None

    def end(self, reading: TakesTurns) -> None:
        """Much has arrived, so the turn of the connection is over."""
        self._unread.pop(reading, None)
        self._read += 1
        self._call()
        if self.are_taken and self._unread:
            # Their bytes may have arrived by now, and would be read in this turn.
            unread, self._unread = self._unread, {}
            for other in unread:
                other.wait_for_turn()

    def forget(self, reading: TakesTurns) -> None:
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
