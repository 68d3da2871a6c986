"""Long work on the event loop, a step at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from buntime_keyval.wire.slices import Steps


class Turns:
    """Runs one step of long work in each turn of the loop, however much of it waits.

    A thread would not do better: it needs Python's lock like everybody else, and whoever waits
    for that waits for milliseconds each time.
    """

    def __init__(self) -> None:
        self._turn = asyncio.Lock()

    async def run(self, steps: Steps) -> Any:
        """The result of the steps. Raises what they raise."""
        while True:
            async with self._turn:
                try:
                    next(steps)
                except StopIteration as end:
                    return end.value
            await asyncio.sleep(0)
