"""Rests within long work on the event loop, for the threads.

A loop that has work in every turn frees Python's lock only for the moment in which it looks for
events. A thread needs longer than that to wake up, and so gets nothing for as long as the work
lasts: above all the thread that writes, for whom everybody waits.
"""

from __future__ import annotations

import asyncio

WORK_SECONDS = 0.004
"""How long work may go on, in turns with other work of the loop, until it rests."""

REST_SECONDS = 0.001
"""How long that is. The timers of the loop know nothing shorter."""


async def rest() -> None:
    """Do nothing for a moment; where several work, nobody else should meanwhile."""
    await asyncio.sleep(REST_SECONDS)
