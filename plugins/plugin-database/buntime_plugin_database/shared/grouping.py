"""Group commit: what arrives while something is being written is written together, next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from buntime_database import DatabaseError, ResultSet

T = TypeVar("T")

BatchOutcome = list[ResultSet] | DatabaseError
"""The outcome of a batch in a group: its results, or why it was not written."""


class Grouping(Generic[T]):
    """Writes that wait for their turn, and the one task that writes a group of them at a time."""

    def __init__(
        self,
        write: Callable[[list[T]], Awaitable[None]],
        give_up: Callable[[Sequence[T], Sequence[T], BaseException], None],
        share: Callable[[T], float],
    ) -> None:
        """`write` writes a group. If it raises, as when the loop ends, `give_up` ends that group
        and the waiting items, so that none waits for ever.

        `share` is the part of a group that a write takes: they go together up to a sum of 1.
        """
        self.waiting: deque[T] = deque()
        self._write = write
        self._give_up = give_up
        self._share = share
        self._draining: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether something waits, or is being written."""
        return self._draining is not None

    def add(self, write: T) -> None:
        """Add an item to be written."""
        self.waiting.append(write)
        if self._draining is None:
            # A task starts in the next turn of the loop, with all items of this turn.
            self._draining = asyncio.get_running_loop().create_task(self._drain())

    async def finish(self) -> None:
        """Wait until nothing waits any more."""
        while self._draining is not None:
            await asyncio.wait([self._draining])

    async def _drain(self) -> None:
        group: list[T] = []
        try:
            while self.waiting:
                group = self._take()
                await self._write(group)
        except BaseException as error:
            self._give_up(group, self.waiting, error)
            self.waiting.clear()
            raise
        finally:
            self._draining = None

    def _take(self) -> list[T]:
        group = [self.waiting.popleft()]
        taken = self._share(group[0])
        while self.waiting and (taken := taken + self._share(self.waiting[0])) <= 1:
            group.append(self.waiting.popleft())
        return group
