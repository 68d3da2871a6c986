"""Waits for the writers that were just answered, which may be about to write again.

Without it, half of the writers wait while the other half is committed, and two small groups follow
each other for ever where one large group would do.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sized
from time import perf_counter

REGATHER_SHARE = 2.0
REGATHER_SECONDS = 0.001
"""Limits of the wait: this many times the duration of their commit, and never longer than this."""

TIMER_SECONDS = 0.0005
"""The shortest time for which a timer is set: those of the loop know milliseconds only."""

MAX_REGATHER_BACKOFF = 63
"""Groups that do not wait because the writers did not come back in time before: 1, then 3, 7, …"""


class Regathering:
    """Whether writers come back, and how long it is worth to wait for that."""

    def __init__(self, pending: Sized, most: int) -> None:
        """`pending` are those that wait to be committed, at most `most` of them together."""
        self._pending = pending
        self._most = most
        self._is_awaited = False
        """Whether recent writes are awaited by callers that would write again after them."""
        self._backoff = 0
        self._groups_left = 0
        """Groups that still do not wait, of the `_backoff` of the last time."""
        self._expected = sys.maxsize
        """How many have to wait for those who wait to be woken."""
        self._woken: asyncio.Future[None] | None = None

    def joined(self) -> None:
        """Look whether all are there who are waited for: somebody has come."""
        if len(self._pending) >= self._expected:
            self._wake()

    def hurry(self) -> None:
        """Do not wait now: callers may be waiting for the writes just submitted."""
        self._is_awaited = True
        self._wake()

    async def wait(self, answered: int, commit_seconds: float) -> None:
        """Let those that were answered join those that wait, if they are of that kind."""
        if self._hurries():
            return
        pending = self._pending
        expected = min(len(pending) + answered, self._most)
        if not pending or len(pending) >= expected:
            return
        if self._groups_left:
            self._groups_left -= 1
            return
        seconds = min(REGATHER_SHARE * commit_seconds, REGATHER_SECONDS)
        await self._wait(expected, seconds)
        if self._hurries():
            return
        came_back = len(pending) >= expected
        self._backoff = 0 if came_back else min(2 * self._backoff + 1, MAX_REGATHER_BACKOFF)
        self._groups_left = self._backoff

    async def _wait(self, expected: int, seconds: float) -> None:
        """Wait until so many are there, or something is awaited, or the time is over."""
        if seconds < TIMER_SECONDS:
            give_up = perf_counter() + seconds
            while len(self._pending) < expected and perf_counter() < give_up:
                await asyncio.sleep(0)  # a turn of the loop, which brings requests in
                if self._is_awaited:
                    return
            return
        # Without turns for nothing: whom this waits for may need the processor.
        loop = asyncio.get_running_loop()
        self._expected = expected
        self._woken = loop.create_future()
        timer = loop.call_later(seconds, self._wake)
        try:
            await self._woken
        finally:
            timer.cancel()
            self._expected, self._woken = sys.maxsize, None

    def _wake(self) -> None:
        if self._woken is not None and not self._woken.done():
            self._woken.set_result(None)

    def _hurries(self) -> bool:
        """Whether `hurry` was called since this was asked last."""
        hurries, self._is_awaited = self._is_awaited, False
        return hurries
