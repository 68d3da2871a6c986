"""Time, injected so that tests own it."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Returns the time in epoch milliseconds."""


def system_clock() -> int:
    """The system's time in epoch milliseconds."""
    return time.time_ns() // 1_000_000
