"""Rests within long work on the event loop, for the threads.

A loop that has work in every turn frees Python's lock only for the moment in which it looks for
events. A thread needs longer than that to wake up, and so gets nothing for as long as the work
lasts: above all the thread that writes, for which all clients wait.
"""

from __future__ import annotations

import asyncio

WORK_SECONDS = 0.004
"""How long work may go on, in turns with other work of the loop, until it rests."""

REST_SECONDS = 0.001
"""How long a rest is. The timers of the loop cannot be shorter."""


async def rest() -> None:
    """Do nothing for a moment. If several tasks work, all rest at the same time."""
    await asyncio.sleep(REST_SECONDS)
