"""Gathering what begins in one turn of the event loop; `_sync` has the same with threads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Lanes(Generic[T]):
    """Hands over together what begins in one turn, for each lane on its own."""

    def __init__(self, deliver: Callable[[list[T]], Awaitable[None]]) -> None:
        """`deliver` handles its items, and raises nothing."""
        self._deliver = deliver
        self._waiting: dict[Hashable, list[tuple[T, asyncio.Future[bool]]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def go(self, lane: Hashable, item: T) -> None:
        """Wait until the item was delivered, with all others that go with it.

        A caller that is cancelled before the delivery begins is left out; later the others are not
        disturbed.
        """
        loop = asyncio.get_running_loop()
        begun = loop.create_future()
        place = (loop, lane)
        waiting = self._waiting.get(place)
        if waiting is None:
            self._waiting[place] = [(item, begun)]
            loop.call_soon(self._begin, loop, place)
        else:
            waiting.append((item, begun))
        is_alone = await begun
        if is_alone:
            await self._deliver([item])

    async def close(self) -> None:
        """Wait until all of this loop is delivered."""
        loop = asyncio.get_running_loop()
        tasks = {task for task in self._tasks if task.get_loop() is loop}
        if tasks:
            await asyncio.wait(tasks)

    def _begin(self, loop: asyncio.AbstractEventLoop, place: Hashable) -> None:
        going = [(item, begun) for item, begun in self._waiting.pop(place) if not begun.done()]
        if len(going) == 1:
            going[0][1].set_result(
                True
            )  # in its own task, which costs nothing and may be cancelled
        elif going:
            task = loop.create_task(self._run(going))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, going: list[tuple[T, asyncio.Future[bool]]]) -> None:
        try:
            await self._deliver([item for item, _ in going])
        finally:
            for _, begun in going:
                if not begun.done():
                    begun.set_result(False)
