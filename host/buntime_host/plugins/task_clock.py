"""Time as the work of plugins in the background sees it; a test puts one in its place."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class TaskClock(Protocol):
    """What time it is, and waiting."""

    def wall(self) -> float:
        """Seconds since 1970, which all hosts agree on more or less, and which may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, which never go backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait for so long."""
        ...


class SystemTaskClock:
    """The clocks of the system."""

    def wall(self) -> float:
        """See `TaskClock`."""
        return time.time()

    def monotonic(self) -> float:
        """See `TaskClock`."""
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        """See `TaskClock`."""
        await asyncio.sleep(seconds)
