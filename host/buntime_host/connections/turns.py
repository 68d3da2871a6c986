"""When connections are read from: those that send much take turns.

The kernel holds megabytes of each connection, and hands over a quarter of one at once: what it has
of a hundred uploads, read in one turn of the event loop, kept everybody else waiting for 90 ms. The
same holds for requests that are sent without waiting for answers: some fifty of them are taken in
at once, in a millisecond, and a hundred connections that send so are answered in step.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

AT_ONCE = 8
"""Whose turn it is in one turn of the loop: 2 MB of bodies take some 2 ms, requests some 8."""


class TakesTurns(Protocol):
    """A connection that is read from."""

    def wait_for_turn(self) -> None:
        """Read nothing before the next turn."""


class ReadTurns:
    """Who waits to go on, in order, on the event loop that runs."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._unread: dict[TakesTurns, None] = {}
        """Whose turn it was, but nothing has come since."""
        self._read = 0
        """How many have read much in this turn of the loop."""
        self._is_called = False

    @property
    def are_taken(self) -> bool:
        """Whether as many have sent much in this turn of the loop as may."""
        return self._read >= AT_ONCE

    def wait(self, go_on: Callable[[], None]) -> None:
        """Call something when its turn comes, in a later turn of the loop."""
        self._waiting.append(go_on)
        self._call()

    def begin(self, reading: TakesTurns) -> None:
        """A connection reads on, as its turn has come."""
        self._unread[reading] = None

    def end(self, reading: TakesTurns) -> None:
        """Much has come, so the turn of the connection is over."""
        self._unread.pop(reading, None)
        self._read += 1
        self._call()
        if self.are_taken and self._unread:
            # What these were waiting for may have come by now, and would be read in this turn.
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
