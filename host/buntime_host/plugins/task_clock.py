"""The time for background work of plugins; a test can replace it."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol


class TaskClock(Protocol):
    """A clock, and waiting."""

    def wall(self) -> float:
        """Seconds since 1970, which hosts more or less agree on, and which may jump."""

    def monotonic(self) -> float:
        """Seconds since some moment, which never go backwards."""

    async def sleep(self, seconds: float) -> None:
        """Sleep for that many seconds."""


class SystemTaskClock:
    """The `TaskClock` of the system."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
