"""Callers that go away and stores that close while writes are under way."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Batch, DatabaseClosed, DatabaseError, ResultSet
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from keyval.service.world import World, open_world, values


class Gated(SqliteAdapter):
    """Writes wait until the gate opens; `entered` says that one waits."""

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(path, **options)
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        self.entered.set()
        await self.gate.wait()
        return await super().batch_each(batches)


@pytest.fixture
async def gated(tmp_path: Path) -> AsyncIterator[tuple[World, Gated]]:
    async with open_world(tmp_path / "kv.db", adapter_type=Gated) as opened:
        assert isinstance(opened.adapter, Gated)
        opened.adapter.entered.clear()
        yield opened, opened.adapter


async def cancelled(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_caller_that_leaves_before_the_commit_writes_nothing(world: World) -> None:
    kv = world.kv
    stays = asyncio.create_task(kv.set(("stays",), 1))
    leaves = asyncio.create_task(kv.atomic().set(("leaves",), 1).sum(("n",), 1).commit())
    also_stays = asyncio.create_task(kv.atomic().sum(("n",), 10).commit())
    await asyncio.sleep(0)  # all are waiting for the same group now
    await cancelled(leaves)
    assert (await stays).ok
    assert (await also_stays).ok
    assert await values(kv) == {("n",): 10, ("stays",): 1}


async def test_a_caller_that_leaves_behind_a_commit_in_flight(
    gated: tuple[World, Gated],
) -> None:
    world, adapter = gated
    adapter.gate.clear()
    first = asyncio.create_task(world.kv.set(("first",), 1))
    await adapter.entered.wait()
    leaves = asyncio.create_task(world.kv.set(("leaves",), 1))
    stays = asyncio.create_task(world.kv.set(("stays",), 1))
    await asyncio.sleep(0)
    await cancelled(leaves)
    adapter.gate.set()
    assert (await first).ok
    assert (await stays).ok
    assert await values(world.kv) == {("first",): 1, ("stays",): 1}


async def test_a_caller_that_leaves_during_its_commit(gated: tuple[World, Gated]) -> None:
    """Too late: its write happens, whole, and the others build on it."""
    world, adapter = gated
    kv = world.kv
    adapter.gate.clear()
    leaves = asyncio.create_task(kv.atomic().set(("a",), 1).set(("b",), 1).sum(("n",), 1).commit())
    stays = asyncio.create_task(kv.atomic().sum(("n",), 10).commit())
    await adapter.entered.wait()
    await cancelled(leaves)
    adapter.gate.set()
    assert (await stays).ok
    assert await values(kv) == {("a",): 1, ("b",): 1, ("n",): 11}
    assert (await kv.set(("c",), 1)).ok


async def test_all_callers_leave(world: World) -> None:
    tasks = [asyncio.create_task(world.kv.set(("n", n), n)) for n in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    assert all(task.cancelled() for task in tasks)
    assert (await world.kv.set(("a",), 1)).ok
    assert await values(world.kv) == {("a",): 1}


@pytest.mark.parametrize("number", [1, 10, 500])
async def test_closing_finishes_what_was_accepted(tmp_path: Path, number: int) -> None:
    async with open_world(tmp_path / "kv.db") as world:
        kv = world.kv
        tasks = [asyncio.create_task(kv.atomic().sum(("n",), 1).commit()) for _ in range(number)]
        tasks.append(asyncio.create_task(kv.set(("last",), 1)))
        await asyncio.sleep(0)
        await kv.close()
        await kv.close()
        await world.adapter.close()
        await world.adapter.close()
        assert all(task.result().ok for task in tasks)
    async with open_world(tmp_path / "kv.db") as world:
        assert await values(world.kv) == {("last",): 1, ("n",): number}


async def test_a_database_that_closes_under_the_store(tmp_path: Path) -> None:
    lost: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: lost.append(context))
    async with open_world(tmp_path / "kv.db") as world:
        kv = world.kv
        tasks = [asyncio.create_task(kv.set(("n", n), n)) for n in range(500)]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await world.adapter.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        later = await asyncio.gather(
            kv.set(("x",), 1),
            kv.atomic().sum(("x",), 1).commit(),
            kv.delete(("n",)),
            kv.get(("n", 0)),
            kv.count(),
            return_exceptions=True,
        )
        assert [type(outcome) for outcome in later] == [DatabaseClosed] * 5
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    assert all(isinstance(error, DatabaseClosed) for error in errors)
    acknowledged = [n for n, outcome in enumerate(outcomes) if outcome not in errors]
    assert acknowledged
    async with open_world(tmp_path / "kv.db") as world:
        assert await values(world.kv) == {("n", n): n for n in acknowledged}
    gc.collect()
    await asyncio.sleep(0)
    assert lost == [], "no task failed behind everyone's back"


async def test_the_store_opens_again_after_closing(tmp_path: Path) -> None:
    for number in range(3):
        async with open_world(tmp_path / "kv.db") as world:
            assert await values(world.kv) == {("n", n): n for n in range(number)}
            await world.kv.set(("n", number), number)
