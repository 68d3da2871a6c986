"""What a test runs beside itself, and what it waits for: in tasks, and in `_sync` in threads."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

from support.waiting import PATIENCE

Event = asyncio.Event
sleep = asyncio.sleep


class Started:
    """A function that runs beside the test."""

    def __init__(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        async def run() -> Any:
            return await function(*args)

        self._task = asyncio.create_task(run())

    @property
    def done(self) -> bool:
        return self._task.done()

    async def result(self) -> Any:
        return await self._task


async def together(*functions: Callable[[], Awaitable[Any]]) -> list[Any]:
    """The results of functions that run at once."""
    return list(await asyncio.gather(*(function() for function in functions)))


async def happened(event: Event) -> None:
    """Wait until an event is set."""
    await asyncio.wait_for(event.wait(), PATIENCE)


async def until(condition: Callable[[], Any], seconds: float = PATIENCE) -> None:
    """Wait until a condition, which may be a coroutine function, holds."""
    deadline = time.monotonic() + seconds
    while True:
        outcome = condition()
        if inspect.isawaitable(outcome):
            outcome = await outcome
        if outcome:
            return
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


def running(name: str) -> int:
    """How many tasks of a name run."""
    return sum(task.get_name() == name for task in asyncio.all_tasks())
