"""Consumers and hosts that are killed at any moment: positions are exact, effects happen once."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from support.api import Api, api_of
from support.live import live_server
from support.sampling import share_of
from support.waiting import until

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("CONSUMER_KILLS", share_of(20)))
OF_ONE_HOST = 5
"""Consumers that are killed before their host is."""
RECORDS = 15
"""That are new in the life of each consumer."""
PROGRAM = Path(__file__).parent / "counter.py"


@contextmanager
def counting(api: Api) -> Iterator[subprocess.Popen[bytes]]:
    """A consumer at work, which is killed at the end."""
    process = subprocess.Popen([sys.executable, str(PROGRAM), api.base])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def position(api: Api) -> int:
    """How far the consumer is."""
    return int(api.json("GET", "/consumers/counter")["position"])


def last_of_its(api: Api) -> int:
    """The position of the newest record that it is for."""
    newest = after = 0
    while True:
        page = api.json("GET", f"/stream?after={after}&prefix=in&limit=1000")
        if page["records"]:
            newest = page["records"][-1]["seq"]
        after = page["next"]
        if after >= page["last"]:
            return newest


def has_passed(api: Api, seq: int) -> bool:
    """Whether the consumer is behind a position."""
    return position(api) > seq


async def test_effects_happen_once_whoever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(20)
    written = 0
    for life in range(KILLS // OF_ONE_HOST):
        with live_server(tmp_path) as server, api_of(server.api) as api:
            if not life:
                api.json("PUT", "/consumers/counter/position", {"seq": 0})
            for _ in range(OF_ONE_HOST - 1):
                for _ in range(RECORDS):
                    api.put(f"in/{written}", written)
                    written += 1
                before = position(api)
                with counting(api):
                    await until(partial(has_passed, api, before))
                    await asyncio.sleep(chance.random() * 0.02)
            with counting(api):
                await asyncio.sleep(chance.random() * 0.5)
                server.kill()
    with live_server(tmp_path) as server, api_of(server.api) as api:
        last = last_of_its(api)
        with counting(api):
            await until(lambda: position(api) >= last)
        entries = api.json("GET", f"/keys?prefix=out&limit={min(1000, written)}")
        assert {entry["value"] for entry in entries} == {1}
        assert api.json("GET", "/keys/count?prefix=out")["count"] == written
