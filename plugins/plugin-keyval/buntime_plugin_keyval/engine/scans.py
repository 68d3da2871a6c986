"""Turns for requests that may look at any number of entries.

An engine has few threads for them. One is always left to bounded requests, and the others are
shared in turn by the clients, however many requests one of them sends.
"""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from buntime_plugin_keyval.model.errors import TooManyScans

MAX_WAITING = 64
"""Scans of one client that wait for their turn."""


class Scans:
    """The turns of one store."""

    def __init__(self, at_once: int | None) -> None:
        """`at_once` are the engine's threads for scans; None leaves it to the engine."""
        self._free = sys.maxsize if at_once is None else max(1, at_once - 1)
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """Waiting requests by client; the first client is the next one."""

    @asynccontextmanager
    async def turn(self, client: str) -> AsyncIterator[None]:
        """Wait for a turn, which the body is. Raises `TooManyScans`."""
        if self._free:
            self._free -= 1
        else:
            await self._wait(client)
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, client: str) -> None:
        waiting = self._waiting.setdefault(client, deque())
        if len(waiting) >= MAX_WAITING:
            raise TooManyScans(MAX_WAITING)
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()  # it had just become its turn
            raise

    def _pass_on(self) -> None:
        """Let the next client have its turn; each gets one before any gets another."""
        while self._waiting:
            client = next(iter(self._waiting))
            waiting = self._waiting.pop(client)
            turn = waiting.popleft()
            if waiting:
                self._waiting[client] = waiting  # behind all others
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
