"""Long work on the event loop, a step at a time."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from buntime_host.http.rest import WORK_SECONDS, rest
from buntime_keyval.wire.slices import Steps


class Turns:
    """Runs one step of long work in each turn of the loop, however much of it waits.

    A thread would not do better: it needs Python's lock like everybody else, and whoever waits
    for that waits for milliseconds each time.

    So that the threads have the lock too, the loop rests after some steps.
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
                    await rest()  # with the turn: nobody else works either
            await asyncio.sleep(0)
