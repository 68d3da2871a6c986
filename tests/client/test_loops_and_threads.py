"""One client in several loops and threads, and what it does with its connections there."""

from __future__ import annotations

import asyncio
import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from buntime_keyval import AsyncKv, Kv, PoolExhausted
from support.live import LiveServer

pytestmark = pytest.mark.slow


# A loop that ends leaves its connections to the garbage collector, which says so.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_client_in_several_loops(server: LiveServer) -> None:
    kv = AsyncKv(server.api)

    async def use(number: int) -> Any:
        await kv.set(["n", number], number)
        return (await kv.get(["n", number])).value

    assert [asyncio.run(use(number)) for number in range(3)] == [0, 1, 2]
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda number: asyncio.run(use(number)), range(20)))
    assert found == list(range(20))
    asyncio.run(kv.aclose())
    gc.collect()


async def test_closing_reaches_the_loops_of_other_threads(server: LiveServer) -> None:
    kv = AsyncKv(server.api)
    used, leave = threading.Event(), threading.Event()

    async def use() -> None:
        await kv.has(["a"])
        used.set()
        await asyncio.to_thread(leave.wait)

    other = threading.Thread(target=lambda: asyncio.run(use()))
    other.start()
    await asyncio.to_thread(used.wait)
    await kv.has(["a"])
    await kv.aclose()
    leave.set()
    await asyncio.to_thread(other.join)


def test_threads_share_a_client(server: LiveServer) -> None:
    with Kv(server.api) as kv, ThreadPoolExecutor(16) as threads:

        def use(number: int) -> Any:
            kv.set(["n", number], number)
            return kv.get(["n", number]).value

        assert list(threads.map(use, range(200))) == list(range(200))


async def test_a_pool_that_is_exhausted_says_so(server: LiveServer) -> None:
    async with AsyncKv(server.api, max_connections=1, connect_timeout="50ms") as kv:
        value = "x" * 5_000_000
        writes = [kv.set(["n", number], value) for number in range(8)]
        outcomes = await asyncio.gather(*writes, return_exceptions=True)
        failed = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
        assert failed
        for error in failed:
            assert isinstance(error, PoolExhausted)
            assert "raise max_connections" in str(error)
