"""Processes that are host and runner in one are killed while they work: nothing is lost."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from buntime_keyval import AsyncKv, open_kv

pytestmark = pytest.mark.slow

KILLS = 20
TASKS = 400
PROCESSES = 2
SECONDS = 120.0
PROGRAM = str(Path(__file__).parent / "working.py")


async def who_works(kv: AsyncKv) -> str | None:
    """The runner of a task that runs."""
    (page,) = [await kv.tasks.list(status="running", limit=1)]
    return page.tasks[0].locked_by if page.tasks else None


async def test_none_is_lost_and_no_lease_is_run_twice(tmp_path: Path) -> None:
    path = str(tmp_path / "kv.db")
    chance = random.Random(7)
    deadline = time.monotonic() + SECONDS

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, PROGRAM, path])

    async with open_kv(path) as kv:
        sent = [await kv.tasks.send("work", number, max_retries=100) for number in range(TASKS)]
        running = [start() for _ in range(PROCESSES)]
        try:
            for _ in range(KILLS):
                while (worker := await who_works(kv)) is None:
                    assert time.monotonic() < deadline, await kv.tasks.stats("work")
                await asyncio.sleep(chance.uniform(0, 0.05))
                (killed,) = [it for it in running if f"-{it.pid}-" in worker] or running[:1]
                killed.kill()
                killed.wait()
                running.remove(killed)
                running.append(start())
            while (await kv.tasks.stats("work"))["work"] != {"completed": TASKS}:
                assert time.monotonic() < deadline, await kv.tasks.stats("work")
        finally:
            for process in running:
                process.kill()
                process.wait()
        results = [(await kv.tasks.get(task)).result for task in sent]
        assert results == list(range(TASKS))
        assert [entry async for entry in kv.list(["twice"])] == []
        assert await kv.count(["runs"]) > TASKS  # some were killed at work
