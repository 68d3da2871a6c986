"""What all loads have in common: whom they ask, how fast, and until when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Any

from buntime_soak.caller import Caller, Place, Reply
from buntime_soak.history import History

ROOT = "soak"
PATIENCE_SECONDS = 60.0
"""How long what has to come true in the end may take, on a machine that is busy."""


class NeverAnswered(Exception):
    """Nothing is wrong with the servers any more, and they do not answer."""


class World:
    """The servers as clients see them."""

    def __init__(
        self,
        places: Sequence[Place],
        history: History,
        *,
        seed: int,
        rate: float,
        replicated: bool,
    ) -> None:
        """`rate` is the number of operations a second of all loads together, about."""
        self.places = places
        self.history = history
        self.rate = rate
        self._replicated = replicated
        self.done = asyncio.Event()
        """Set when the loads have to end."""
        self.prepared: str | None = None
        """The position from which on there is what the loads begin with."""
        self._seed = seed
        self._callers: list[Caller] = []

    def dice(self, name: str) -> random.Random:
        """Chance that a seed repeats."""
        return random.Random(f"{self._seed} {name}")

    def caller(self, name: str, place: Place | None = None, *, carries: bool = False) -> Caller:
        """A client, of one place or of all; see `Caller`."""
        places = self.places if place is None else [place]
        caller = Caller(
            name,
            places,
            self.history,
            self.dice(name),
            replicated=self._replicated,
            carries=carries,
            position=self.prepared,
        )
        self._callers.append(caller)
        return caller

    async def pace(self, caller: Caller, share: float) -> None:
        """Wait for the next turn of a client that makes this share of all operations."""
        pause = min(2.0, caller.dice.expovariate(self.rate * share))
        await self.rest(pause)

    async def rest(self, seconds: float) -> None:
        """Sleep, but not beyond the end."""
        if not self.done.is_set():
            try:
                async with asyncio.timeout(seconds):
                    await self.done.wait()
            except TimeoutError:
                return

    async def insist(
        self,
        caller: Caller,
        method: str,
        path: str,
        body: Any = None,
        *,
        good: Sequence[int] = (200,),
        fresh: bool = False,
    ) -> Reply:
        """Ask until there is an answer; only for what may be asked more than once.

        Raises `NeverAnswered`.
        """
        deadline = self.history.now() + PATIENCE_SECONDS
        while True:
            reply = await caller.call(method, path, body, good=good, fresh=fresh)
            if reply.outcome == "ok":
                return reply
            if self.history.now() > deadline:
                raise NeverAnswered(f"{method} {path}: {reply.status} {reply.note}")
            await asyncio.sleep(0.1)

    def close(self) -> None:
        for caller in self._callers:
            caller.close()


async def end_tasks(*tasks: asyncio.Task[Any]) -> None:
    """Cancel what still runs, wait for all, and raise what one of them raised."""
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.result()


def path_of(key: Sequence[Any]) -> str:
    """The path of a key whose parts are texts."""
    return "/".join(map(str, key))


def key_of(path: str) -> list[str]:
    """The key of a path whose parts are texts."""
    return path.split("/")
