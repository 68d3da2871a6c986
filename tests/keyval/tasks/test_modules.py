"""A host that runs tasks by itself, with the functions of modules of its options."""

from __future__ import annotations

from pathlib import Path

import pytest
from buntime_database import DatabaseUnavailable
from buntime_keyval import CannotOpen, open_kv
from buntime_keyval.shared import AsyncRunner
from client._async.beside import until as until_so
from keyval.service.world import World
from support.waiting import until

WORKER = """
import asyncio

async def double(number: int) -> int:
    return 2 * number

def make_runner(kv):
    runner = kv.runner(name="worker")
    runner.add("double", double)

    @runner.task("slow")
    async def slow(seconds: float) -> str:
        await kv.set(["began"], True)
        await asyncio.sleep(seconds)
        return "drained"

    return runner
"""


@pytest.fixture
def worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "task_worker.py").write_text(WORKER)
    monkeypatch.syspath_prepend(tmp_path)
    return "task_worker"


async def test_a_host_runs_tasks_and_drains_them(tmp_path: Path, worker: str) -> None:
    path = tmp_path / "kv.db"
    async with open_kv(path, keyval={"tasks": {"modules": [worker]}}) as kv:
        doubled = await kv.tasks.send("double", 21)
        assert (await kv.tasks.wait(doubled, "20s")).result == 42
        slow = await kv.tasks.send("slow", 0.2)

        async def has_begun() -> bool:
            return (await kv.get(["began"])).value is True

        await until_so(has_begun)
    async with open_kv(path) as kv:
        found = await kv.tasks.get(slow)
        assert found is not None
        assert (found.status, found.result) == ("completed", "drained")


async def test_a_module_that_is_not_there_fails_the_plugin() -> None:
    kv = open_kv(":memory:", keyval={"tasks": {"modules": ["nowhere.tasks"]}})
    with pytest.raises(CannotOpen, match=r"tasks\.modules: There is no module nowhere: install"):
        await kv.get(["a"])
    await kv.aclose()


async def test_a_runner_outlives_a_database_that_does_not_serve(world: World) -> None:
    told: list[Exception] = []
    tasks = world.kv.tasks
    lease = tasks.lease
    runner: AsyncRunner = world.kv.runner(on_error=told.append)
    runner.add("a", lambda _: "done")

    async def fail_once(*args: object, **options: object) -> object:
        tasks.lease = lease  # type: ignore[method-assign]
        raise DatabaseUnavailable("the disk is away")

    tasks.lease = fail_once  # type: ignore[method-assign, assignment]
    sent = await tasks.send("a")
    async with runner:
        await until(lambda: told)
        assert (await tasks.wait(sent, "10s")).result == "done"
