"""Long work on the event loop, a step at a time."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

from buntime_host.http.rest import WORK_SECONDS, rest
from buntime_keyval.wire.slices import Steps


class Turns:
    """Runs one step of long work in each turn of the loop, however much of it waits.

    A thread would not do better: it needs Python's lock, and each wait for that takes milliseconds.
    So that the threads get the lock too, the loop rests after some steps.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._worked = 0.0

    async def wait(self) -> None:
        """Wait for a turn of the loop without another such step."""
        async with self._turn:
            await asyncio.sleep(0)

    async def run(self, steps: Steps) -> Any:
        """Run the steps and return their result. Raises their exceptions."""
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
                    await rest()  # within the turn, so no other work runs
            await asyncio.sleep(0)
