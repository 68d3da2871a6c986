"""Who waits for a lock and is gone: cancelled or killed, whatever way it asked."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import AsyncKv, Kv, LockHeld, open_kv
from buntime_keyval._async import session
from client._async.beside import until
from support.children import program
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

WAITS = """
import signal, sys
from buntime_keyval import Kv
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell ignores it in the background
with Kv(sys.argv[1]) as kv, kv.lock("a", ttl="1h", wait="1m"):
    print("has it", flush=True)
"""


@pytest.fixture(params=["server", "pieces", "file"])
async def kv(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[AsyncKv]:
    """A store; where it waits in pieces, these are so short that it is often between two."""
    if request.param == "file":
        async with open_kv(tmp_path / "store.db") as client:
            yield client
        return
    if request.param == "pieces":
        monkeypatch.setattr(session, "LONGEST_WAIT_S", 0.02)
    async with AsyncKv(request.getfixturevalue("api")) as client:
        yield client


def waiting(kv: AsyncKv, number: int) -> Callable[[], Coroutine[Any, Any, bool]]:
    """Whether so many are in line."""

    async def are_in_line() -> bool:
        found = await kv.locks.get("a")
        return found is not None and found.waiting == number

    return are_in_line


async def test_a_task_that_is_cancelled_leaves(kv: AsyncKv) -> None:
    async def hold() -> None:
        async with kv.lock("a", ttl="1h", wait="1m"):
            raise AssertionError("it has it")

    await kv.locks.acquire("a", "holder", duration="1h")
    block = asyncio.create_task(hold())
    call = asyncio.create_task(kv.locks.acquire("a", "w1", duration="1h", wait="1m"))
    await until(waiting(kv, 2))
    for task in (block, call):
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    await until(waiting(kv, 0))
    assert await kv.locks.release("a", "holder")
    assert await kv.locks.get("a") is None


async def test_what_comes_with_the_cancellation_is_given_back(kv: AsyncKv) -> None:
    async def is_free() -> bool:
        return await kv.locks.get("a") is None

    for _ in range(4):
        await kv.locks.acquire("a", "holder", duration="1h")
        block = kv.lock("a", ttl="1h", wait="1m")
        task = asyncio.create_task(block.acquire())
        await until(waiting(kv, 1))
        release = asyncio.create_task(kv.locks.release("a", "holder"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task, release})
        if not task.cancelled():
            assert await block.release()
        await until(is_free)


async def test_who_gives_up_in_time_leaves_nothing(kv: AsyncKv) -> None:
    await kv.locks.acquire("a", "holder", duration="1h")
    with pytest.raises(LockHeld, match="held by holder"):
        await kv.locks.acquire("a", "w1", wait="100ms")
    await until(waiting(kv, 0))


@pytest.mark.parametrize("ends", [signal.SIGKILL, signal.SIGINT])
def test_a_program_that_is_ended_leaves(api: str, ends: signal.Signals) -> None:
    with Kv(api) as kv:

        def waiting_now() -> int:
            found = kv.locks.get("a")
            assert found is not None
            return found.waiting

        kv.locks.acquire("a", "holder", duration="1h")
        with program([sys.executable, "-c", WAITS, api], stderr=subprocess.DEVNULL) as it:
            asyncio.run(until(lambda: waiting_now() == 1))
            it.send_signal(ends)
            it.wait(PATIENCE)
        asyncio.run(until(lambda: waiting_now() == 0))
        assert kv.locks.release("a", "holder")
        assert kv.locks.get("a") is None
