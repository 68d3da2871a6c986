"""Time and identity, injected so that tests own both."""

from __future__ import annotations

import time
from collections.abc import Callable

import uuid_utils

Clock = Callable[[], int]
"""Returns the time in epoch milliseconds."""

Stamps = Callable[[], str]
"""Returns a new versionstamp, which sorts after all that the process returned before."""


def system_clock() -> int:
    """The system's time in epoch milliseconds."""
    return time.time_ns() // 1_000_000


def new_versionstamp() -> str:
    """A UUIDv7, strictly increasing within the process."""
    return str(uuid_utils.uuid7())
