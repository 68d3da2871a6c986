"""Waiting for something to happen, with an end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds for what takes a moment: they end a test that hangs, and are no measure of speed, so a
machine that is busy with other work ten times over passes, too."""


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Wait until a condition holds, for no longer than that."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)
