"""What a runner does with coroutines: they are cancelled, by their time and by a stop."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest
from buntime_keyval import AsyncKv, open_kv
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture
async def kv() -> Any:
    async with open_kv(":memory:") as store:
        yield store


async def test_what_is_done_at_once_is_told_at_once(kv: AsyncKv) -> None:
    number = 8
    runner = kv.runner(concurrency=number)
    together = asyncio.Barrier(number)

    @runner.task("work")
    async def work(place: int) -> int:
        await together.wait()
        return place

    sent = [await kv.tasks.send("work", place) for place in range(number)]
    async with runner:
        found = [await kv.tasks.wait(task, "20s") for task in sent]
    assert [it.result for it in found] == [*range(number)]
    operations = (await kv.metrics())["operations"]
    assert operations["task_complete"]["count"] == 1


async def test_who_is_refused_keeps_nobody_else_from_being_done(kv: AsyncKv) -> None:
    runner = kv.runner(concurrency=2)
    together = asyncio.Barrier(2)

    @runner.task("work")
    async def work(result: str | None) -> str:
        await together.wait()
        return result or "\ud800"  # which is no Unicode

    refused = await kv.tasks.send("work")
    done = await kv.tasks.send("work", "fine")
    async with runner:
        found = await kv.tasks.wait(done, "20s")
    assert (found.status, found.result) == ("completed", "fine")
    again = await kv.tasks.get(refused)
    assert again is not None
    assert not again.is_over


async def test_a_timeout_cancels(kv: AsyncKv) -> None:
    ended: list[str] = []
    runner = kv.runner()

    @runner.task("slow")
    async def slow(payload: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    sent = await kv.tasks.send("slow", timeout="50ms", max_retries=1)
    async with runner:
        found = await kv.tasks.wait(sent, "20s")
    assert found.status == "failed"
    assert found.last_error == "It took longer than its timeout of 50 ms"
    assert ended == ["cancelled"]


async def test_what_is_left_when_the_drain_is_over_goes_back(kv: AsyncKv) -> None:
    began = asyncio.Event()
    runner = kv.runner()

    @runner.task("slow")
    async def slow(payload: Any) -> None:
        began.set()
        await asyncio.sleep(60)

    sent = await kv.tasks.send("slow")
    await runner.start()
    await asyncio.wait_for(began.wait(), PATIENCE)
    await runner.stop(0.01)
    found = await kv.tasks.get(sent)
    assert found is not None
    assert (found.status, found.attempts) == ("pending", 0)


async def test_what_comes_as_it_stops_is_not_lost(kv: AsyncKv) -> None:
    async def work(payload: int) -> int:
        return payload

    for number in range(8):
        runner = kv.runner(concurrency=2)
        runner.add("work", work)
        await runner.start()
        await asyncio.sleep(0.01)  # it waits
        sending = asyncio.create_task(kv.tasks.send("work", number, max_retries=1))
        for _ in range(number):
            await asyncio.sleep(0)
        await runner.stop()
        await sending
        assert (await kv.tasks.list(status="running")).tasks == []
    assert (await kv.tasks.stats()).keys() == {"work"}
    assert sum((await kv.tasks.stats())["work"].values()) == number + 1


async def test_a_signal_ends_it_gently(kv: AsyncKv) -> None:
    began = asyncio.Event()
    runner = kv.runner()

    @runner.task("quick")
    async def quick(payload: int) -> int:
        began.set()
        await asyncio.sleep(0.05)
        return payload + 1

    running = asyncio.create_task(runner.run())
    sent = await kv.tasks.send("quick", 1)
    await asyncio.wait_for(began.wait(), PATIENCE)
    os.kill(os.getpid(), signal.SIGTERM)
    await asyncio.wait_for(running, PATIENCE)
    found = await kv.tasks.get(sent)
    assert found is not None
    assert (found.status, found.result) == ("completed", 2)
