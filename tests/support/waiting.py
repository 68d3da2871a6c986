"""Waiting for something to happen, with an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

SECONDS = 15.0


async def until(condition: Callable[[], object], seconds: float = SECONDS) -> None:
    """Wait until a condition holds, for no longer than that."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
