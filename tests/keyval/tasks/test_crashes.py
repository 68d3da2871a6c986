"""Processes that are host and runner in one are killed while they work: nothing is lost."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from buntime_keyval import AsyncKv, TaskInfo, open_kv
from support.sampling import share_of

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("TASK_KILLS", share_of(8)))
TASKS_A_KILL = 20
PROCESSES = 2
SECONDS = 60.0 + 10 * KILLS
MOST_ATTEMPTS = 100 + KILLS
"""The oldest are taken first, so the same ones may be with whoever is killed, each time."""
PROGRAM = str(Path(__file__).parent / "working.py")


def start(path: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, PROGRAM, path])


async def at_work(
    kv: AsyncKv, running: list[subprocess.Popen[bytes]]
) -> subprocess.Popen[bytes] | None:
    """One of the processes that has a task now, which has begun: what a killed one held does not
    count."""
    for task in (await kv.tasks.list(status="running", limit=100)).tasks:
        for process in running:
            holds = f"-{process.pid}-" in (task.locked_by or "")
            if holds and await kv.count(["runs", task.payload]):
                return process
    return None


async def test_none_is_lost_and_no_lease_is_run_twice(tmp_path: Path) -> None:
    path = str(tmp_path / "kv.db")
    chance = random.Random(7)
    deadline = time.monotonic() + SECONDS
    sent: list[TaskInfo] = []

    async with open_kv(path) as kv:
        running = [start(path) for _ in range(PROCESSES)]
        try:
            for _ in range(KILLS):
                while (killed := await at_work(kv, running)) is None:
                    assert time.monotonic() < deadline, await kv.tasks.stats("work")
                    if not (await kv.tasks.list(status="pending", limit=1)).tasks:
                        numbers = range(len(sent), len(sent) + TASKS_A_KILL)
                        sent += [
                            await kv.tasks.send("work", it, max_retries=MOST_ATTEMPTS)
                            for it in numbers
                        ]
                await asyncio.sleep(chance.uniform(0, 0.04))
                killed.kill()
                killed.wait()
                running.remove(killed)
                running.append(start(path))
            while (await kv.tasks.stats("work"))["work"] != {"completed": len(sent)}:
                assert time.monotonic() < deadline, await kv.tasks.stats("work")
        finally:
            for process in running:
                process.kill()
                process.wait()
        results = [(await kv.tasks.wait(task)).result for task in sent]
        assert results == list(range(len(sent)))
        assert [entry async for entry in kv.list(["twice"])] == []
        assert await kv.count(["runs"]) > len(sent)  # some were killed at work
