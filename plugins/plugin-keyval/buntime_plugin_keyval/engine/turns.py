"""Long work on the event loop, a step at a time."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from buntime_keyval.wire.slices import Steps

WORK_SECONDS = 0.004
"""How long steps are run until the threads get their turn as well."""

PAUSE_SECONDS = 0.001
"""How long that is. The timers of the loop know nothing shorter."""


class Turns:
    """Runs one step of long work in each turn of the loop, however much of it waits.

    A thread would not do better: it needs Python's lock like everybody else, and whoever waits
    for that waits for milliseconds each time.

    The threads wait for that lock too, above all the one that writes. A loop that never rests
    frees it for a moment only, too short for a thread to wake up in, and so keeps it from them for
    as long as there is work. So after some steps the loop rests.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._worked = 0.0

    async def wait(self) -> None:
        """Wait for a turn of the loop in which nobody else has one of these."""
        async with self._turn:
            await asyncio.sleep(0)

    async def run(self, steps: Steps) -> Any:
        """The result of the steps. Raises what they raise."""
        while True:
            async with self._turn:
                started = perf_counter()
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
                finally:
                    self._worked += perf_counter() - started
                if self._worked >= WORK_SECONDS:
                    self._worked = 0.0
                    await asyncio.sleep(PAUSE_SECONDS)  # with the turn: nobody else works either
            await asyncio.sleep(0)
