"""Something that a task waits for, but not for ever."""

from __future__ import annotations

import asyncio


class Arrival:
    """Wakes one task when something has arrived.

    Thousands of streams wait with a timeout, which mostly passes: so it ends like an arrival,
    without the exceptions that `asyncio.timeout` throws through the waiting code.
    """

    __slots__ = ("_has_come", "_waiting")

    def __init__(self) -> None:
        self._has_come = False
        self._waiting: asyncio.Future[None] | None = None

    def tell(self) -> None:
        """Something has come."""
        self._has_come = True
        if self._waiting is not None:
            _wake(self._waiting)

    async def wait(self, seconds: float | None) -> bool:
        """Whether something comes within so long, or has come since this was asked last.

        What comes in the very moment of the timeout has come.
        """
        if not self._has_come:
            loop = asyncio.get_running_loop()
            self._waiting = waiting = loop.create_future()
            timer = None if seconds is None else loop.call_later(max(seconds, 0), _wake, waiting)
            try:
                await waiting
            finally:
                self._waiting = None
                if timer is not None:
                    timer.cancel()
        has_come, self._has_come = self._has_come, False
        return has_come


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
