"""Runners of one store: what they say of the tasks that they run, on every engine."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_database import DatabaseUnavailable
from buntime_keyval.shared import AsyncRunner
from keyval.service.world import World
from support.waiting import until

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")

HOUR_MS = 3_600_000


async def test_a_runner_says_what_came_of_each_task(world: World) -> None:
    """Fault 6: one whose time is over has ended as well, and is no task that runs for ever."""
    tasks, seen = world.kv.tasks, list[object]()
    runner: AsyncRunner = world.kv.runner(name="r", concurrency=4, on_error=lambda _: None)

    @runner.task("double")
    def double(number: int) -> int:
        return 2 * number

    @runner.task("broken")
    def broken(payload: Any) -> None:
        seen.append(payload)
        raise ValueError("no way")

    @runner.task("slow")
    async def slow(payload: Any) -> None:
        seen.append(payload)
        await asyncio.sleep(60)

    assert [*runner.names] == ["double", "broken", "slow"]
    unknown = await tasks.send("unknown")
    doubled = await tasks.send("double", 21)
    failed = await tasks.send("broken", "once", max_retries=1)
    again = await tasks.send("broken", "twice", max_retries=2, backoff_schedule=["1h"])
    over = await tasks.send("slow", "over", timeout="50ms", max_retries=1)
    late = await tasks.send("slow", "late", timeout="50ms", max_retries=2, backoff_schedule=["1h"])
    async with runner:
        for sent, status, result, error in (
            (doubled, "completed", 42, None),
            (failed, "failed", None, "ValueError: no way"),
            (over, "failed", None, "It took longer than its timeout of 50 ms"),
        ):
            found = await tasks.wait(sent, "20s")
            assert (found.status, found.result, found.last_error) == (status, result, error)
            assert found.completed_at == world.clock.wall()
        await until(lambda: {"twice", "late"} <= {*seen})
    # The stop has let the others come to the end of their attempts.
    for sent, attempts in ((again, 1), (late, 1), (unknown, 0)):
        task = await tasks.get(sent)
        assert task is not None
        assert (task.status, task.attempts, task.locked_by) == ("pending", attempts, None)


async def test_a_task_whose_end_could_not_be_told_is_run_again(world: World) -> None:
    told: list[Exception] = []
    tasks, ran = world.kv.tasks, list[int]()
    runner: AsyncRunner = world.kv.runner(concurrency=1, on_error=told.append)
    runner.add("count", ran.append)
    complete = tasks.complete

    async def fail_once(*args: Any, **options: Any) -> Any:
        tasks.complete = complete  # type: ignore[method-assign]
        raise DatabaseUnavailable("the disk is away")

    tasks.complete = fail_once  # type: ignore[method-assign]
    first = await tasks.send("count", 1)
    async with runner:
        await until(lambda: told)
        task = await tasks.get(first)
        assert task is not None
        assert (task.status, task.locked_by) == ("running", runner.name)
        world.clock.advance(HOUR_MS)
        second = await tasks.send("count", 2)  # and the runner looks
        for sent, attempts in ((first, 2), (second, 1)):
            found = await tasks.wait(sent, "20s")
            assert (found.status, found.attempts) == ("completed", attempts)
    assert sorted(ran) == [1, 1, 2]
    assert [str(error) for error in told] == ["the disk is away"]
