"""Repeating an operation from several tasks of one event loop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from results import Measurement

Operation = Callable[[int], Awaitable[None]]
"""Gets the number of a key."""


async def repeated(
    operation: Operation, *, keys: int, tasks: int, seconds: float, stride: int
) -> Measurement:
    """Repeat an operation from so many tasks; each goes through the keys by a stride."""
    times: list[float] = []

    async def repeat(number: int) -> None:
        while time.perf_counter() < end:
            before = time.perf_counter()
            await operation(number % keys)
            times.append(time.perf_counter() - before)
            number += stride

    start = time.perf_counter()
    end = start + seconds
    await asyncio.gather(*(repeat(number) for number in range(tasks)))
    passed = time.perf_counter() - start
    times.sort()
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    return Measurement(len(times) / passed, p50 * 1000, p99 * 1000)
