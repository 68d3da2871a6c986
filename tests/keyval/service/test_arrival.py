"""Waiting for something, for a while."""

from __future__ import annotations

import asyncio

import pytest
from buntime_plugin_keyval.engine.arrival import Arrival

LONG = 30.0


async def test_what_has_come_is_not_waited_for() -> None:
    arrival = Arrival()
    arrival.tell()
    assert await arrival.wait(0)
    assert not await arrival.wait(0), "it was told already"


async def test_what_comes_wakes_who_waits() -> None:
    arrival = Arrival()
    for seconds in (LONG, None):
        waiting = asyncio.create_task(arrival.wait(seconds))
        await asyncio.sleep(0)
        arrival.tell()
        arrival.tell()
        assert await asyncio.wait_for(waiting, LONG)
    assert not await arrival.wait(0)


async def test_the_time_ends_it() -> None:
    arrival = Arrival()
    for seconds in (0.001, 0, -1.0):
        assert not await asyncio.wait_for(arrival.wait(seconds), LONG)


async def test_what_comes_in_the_moment_of_the_timeout_has_come() -> None:
    arrival = Arrival()
    waiting = asyncio.create_task(arrival.wait(0))
    asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_later, 0, arrival.tell)
    came = await asyncio.wait_for(waiting, LONG)
    assert came or await arrival.wait(LONG), "it is not lost"


async def test_who_is_cancelled_leaves_nothing_behind() -> None:
    arrival = Arrival()
    waiting = asyncio.create_task(arrival.wait(LONG))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    arrival.tell()
    assert await arrival.wait(0)
