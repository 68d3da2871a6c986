"""Waiting for servers, which may be started at the same time as the host."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic

from buntime_database import DatabaseError

_PAUSE_SECONDS = (0.05, 0.25)
"""The first and the longest pause between two questions."""


async def until_it_answers(
    ask: Callable[[float], Awaitable[object]],
    seconds: float,
    passes: Callable[[DatabaseError], bool],
) -> None:
    """Ask again and again, with the seconds that are left, until there is an answer.

    Raises the last error, and at once one that does not pass by waiting.
    """
    deadline = monotonic() + seconds
    pause, longest = _PAUSE_SECONDS
    while True:
        try:
            await ask(max(deadline - monotonic(), _PAUSE_SECONDS[0]))
        except DatabaseError as error:
            if not passes(error) or monotonic() + pause > deadline:
                raise
        else:
            return
        await asyncio.sleep(pause)
        pause = min(2 * pause, longest)
