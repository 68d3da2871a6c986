"""Processes that start what schedules say are killed while they do: each time has one task."""

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

KILLS = int(os.environ.get("SCHEDULE_KILLS", share_of(4)))
PROCESSES = 2
PAUSE_MS = 1000
PROGRAM = str(Path(__file__).parent / "firing.py")


def start(path: str) -> subprocess.Popen[str]:
    """A process that is at work."""
    process = subprocess.Popen([sys.executable, PROGRAM, path], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


async def started(kv: AsyncKv) -> list[TaskInfo]:
    found: list[TaskInfo] = []
    cursor: str | None = None
    while True:
        page = await kv.tasks.list(name="tick", limit=1000, cursor=cursor)
        found += page.tasks
        if page.cursor is None:
            return found
        cursor = page.cursor


async def test_each_time_starts_one_task(tmp_path: Path) -> None:
    path = str(tmp_path / "kv.db")
    chance = random.Random(7)
    async with open_kv(path) as kv:
        made = await kv.schedules.put("s", {"name": "tick"}, every=PAUSE_MS, missed="all")
    running = [start(path) for _ in range(PROCESSES)]
    try:
        for _ in range(KILLS):
            # About when the next time comes: before, within or after the commit that starts it.
            left = (made.next[0] - time.time() * 1000) % PAUSE_MS
            await asyncio.sleep((left + chance.uniform(-5, 25)) / 1000 if left > 5 else 0)
            kill(running.pop(0))
            running.append(start(path))
    finally:
        for process in running:
            kill(process)
    async with open_kv(path) as kv:
        await kv.schedules.put("s", {"name": "tick"}, every=PAUSE_MS, missed="all", paused=True)
        found = await kv.schedules.get("s")
        assert found is not None
        assert found.last_at is not None
        tasks = await started(kv)
    times = 1 + (found.last_at - made.next[0]) // PAUSE_MS
    assert (len(tasks), found.fires) == (times, times)
    assert times >= KILLS // PROCESSES
