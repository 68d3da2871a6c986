"""A worker is killed: what it acknowledged is there, what it held comes back, others go on."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from keyval.queue.counted import wait_until_counted
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.sse import event_stream
from support.workers import api_of_any, api_of_worker, connect_to

CONNECTIONS = 12
KILLS = 2
"""Of each worker one."""
WRITES_BEFORE_A_KILL = 150


def pids_of(server: LiveServer) -> list[int]:
    """The process ids of the two workers that serve now."""
    pids = server.worker_pids()
    for number, pid in re.findall(r"Worker (\d) is back, with process id (\d+)", server.output):
        pids[int(number)] = int(pid)
    return pids


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.01)


async def test_no_acknowledged_write_is_lost(tmp_path: Path) -> None:
    acknowledged: dict[str, str] = {}
    broken = done = 0

    async def write(client: httpx2.AsyncClient, base: str, name: int) -> None:
        nonlocal broken
        number = 0
        while not done:
            number += 1
            key = f"{name}/{number % 50}"
            value = f"{number}"
            try:
                answer = await client.put(f"{base}/keys/{key}", json=value)
            except httpx2.TransportError:
                broken += 1  # it may be there or not
                acknowledged.pop(key, None)
                continue
            if answer.status_code == 503:  # the other one is dead, which commits for both
                assert answer.json()["code"] == "KEYVAL_OUTCOME_UNKNOWN", answer.text
                broken += 1
                acknowledged.pop(key, None)
                continue
            assert answer.status_code == 200, answer.text
            acknowledged[key] = value

    with live_server(tmp_path, workers=2) as server:
        async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
            async with asyncio.TaskGroup() as group:
                for name in range(CONNECTIONS):
                    group.create_task(write(client, server.api, name))
                for round_ in range(KILLS):
                    seen = len(re.findall("is back", server.output))
                    before = dict(acknowledged)

                    def new(before: dict[str, str] = before) -> int:
                        return sum(before.get(key) != v for key, v in acknowledged.items())

                    def is_back(seen: int = seen) -> bool:
                        return len(re.findall("is back", server.output)) > seen

                    await until(lambda: new() >= WRITES_BEFORE_A_KILL)
                    os.kill(pids_of(server)[round_ % 2], signal.SIGKILL)
                    await until(is_back)
                done = 1
            assert broken  # otherwise nobody was killed
            for key, value in acknowledged.items():
                answer = await client.get(f"{server.api}/keys/{key}")
                assert answer.json()["value"] == value, key
        assert server.stop() == 0


def test_what_a_dead_worker_held_is_delivered_again(tmp_path: Path) -> None:
    queue: dict[str, Any] = {"lockDuration": "1s"}
    plugins = [DEFAULT_PLUGINS[0], [DEFAULT_PLUGINS[1], {"queue": queue}]]
    with live_server(tmp_path, {"plugins": plugins}, workers=2) as server:
        with api_of_any(server) as api:
            for number in range(4):
                api.json("POST", "/queue/enqueue", {"value": number})
        options = {"query": {"prefetch": "4"}}
        doomed = connect_to(server, 1)
        with event_stream(server.api, "/queue/listen", connection=doomed, **options) as stream:
            taken = [stream.next() for _ in range(4)]
            assert all(event is not None and event.data["attempts"] == 1 for event in taken)
            wait_until_counted(server, 4)
            os.kill(pids_of(server)[1], signal.SIGKILL)
        with (
            api_of_worker(server, 0) as api,
            event_stream(
                server.api, "/queue/listen", connection=connect_to(server, 0), **options
            ) as stream,
        ):
            api.json("POST", "/queue/enqueue", {"value": "new"})
            found: dict[Any, int] = {}
            while len(found) < 5:
                event = stream.next()
                assert event is not None
                found[event.data["value"]] = event.data["attempts"]
                api.json("POST", "/queue/ack", {"id": event.id})
            assert found == {0: 2, 1: 2, 2: 2, 3: 2, "new": 1}


@pytest.mark.parametrize("url", [":memory:", "file::memory:"])
def test_a_database_in_memory_has_one_worker(tmp_path: Path, url: str) -> None:
    plugins = [
        ["@buntime/plugin-database", {"adapters": [{"type": "sqlite", "url": url}]}],
        DEFAULT_PLUGINS[1],
    ]
    with (
        pytest.raises(AssertionError, match="sqlite database is in memory, which workers cannot"),
        live_server(tmp_path, {"plugins": plugins}, workers=2),
    ):
        pass
    with live_server(tmp_path, {"plugins": plugins}) as server:
        assert server.stop() == 0
