"""Waits for the writers that were just answered, which may be about to write again.

Without it, half of the writers wait while the other half is committed, and two small groups follow
each other for ever where one large group would do. So they do when all were committed together and
the first ones to come back do not wait for the rest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sized
from time import perf_counter

REGATHER_SHARE = 2.0
REGATHER_SECONDS = 0.001
"""Limits of the wait: this many times the duration of their commit, and never longer than this."""

MAX_REGATHER_BACKOFF = 63
"""Groups that do not wait because the writers did not come back in time before: 1, then 3, 7, …"""


class Regathering:
    """Whether writers come back, and how long it is worth to wait for that."""

    def __init__(self, pending: Sized, most: int) -> None:
        """`pending` are those that wait to be committed, at most `most` of them together."""
        self._pending = pending
        self._most = most
        self._expected = 0
        """How many wait once all that were answered last are back; 0 if none has to wait."""
        self._give_up = 0.0
        """Until when they are waited for."""
        self._is_awaited = False
        """Whether recent writes are awaited by callers that would write again after them."""
        self._backoff = 0
        self._groups_left = 0
        """Groups that still do not wait, of the `_backoff` of the last time."""

    def hurry(self) -> None:
        """Do not wait now: callers may be waiting for the writes just submitted."""
        self._is_awaited = True

    def answered(self, number: int, commit_seconds: float) -> None:
        """So many are answered now, after a commit that took so long."""
        self._expected = min(len(self._pending) + number, self._most)
        seconds = min(REGATHER_SHARE * commit_seconds, REGATHER_SECONDS)
        self._give_up = perf_counter() + seconds

    async def wait(self) -> None:
        """Let those that were answered last join those that wait, if they are of that kind."""
        expected, self._expected = self._expected, 0
        pending, give_up = self._pending, self._give_up
        if self._hurries() or len(pending) >= expected or perf_counter() >= give_up:
            return
        if self._groups_left:
            self._groups_left -= 1
            return
        while len(pending) < expected and perf_counter() < give_up:
            # A turn of the loop, which brings requests in. Its timers know milliseconds only.
            await asyncio.sleep(0)
            if self._hurries():
                return
        came_back = len(pending) >= expected
        self._backoff = 0 if came_back else min(2 * self._backoff + 1, MAX_REGATHER_BACKOFF)
        self._groups_left = self._backoff

    def _hurries(self) -> bool:
        """Whether `hurry` was called since this was asked last."""
        hurries, self._is_awaited = self._is_awaited, False
        return hurries
