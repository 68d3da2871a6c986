"""Consumers that die, and consumers that come and go: every message is processed, none is lost."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from keyval.queue.counted import wait_until_counted
from support.api import Api, api_of
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.sampling import share_of
from support.sse import event_stream
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

LEASE_MS = 400

# Kills itself between the receipt of a message and its ack.
DIES = """
import os, signal, sys, urllib.request
with urllib.request.urlopen(sys.argv[1]) as stream:
    for line in stream:
        if line.startswith(b"data: {"):
            print(line[6:].decode(), flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    options = {"queue": {"lockDuration": LEASE_MS}}
    plugins = [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", options]]
    with live_server(tmp_path, {"plugins": plugins}) as running:
        yield running


@pytest.mark.parametrize("query", ["", "?prefetch=1"])
def test_a_message_that_kills_its_consumers_is_given_up(server: LiveServer, query: str) -> None:
    with api_of(server.api) as api:
        options = {"backoffSchedule": [0, 0], "keysIfUndelivered": [["lost", 1]]}
        api.json("POST", "/queue/enqueue", {"value": "poison", "options": options})
        for attempt in (1, 2, 3):
            assert api.value("lost", 1) is None
            done = subprocess.run(
                [sys.executable, "-c", DIES, f"{server.api}/queue/listen{query}"],
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == -signal.SIGKILL
            assert f'"attempts":{attempt}' in done.stdout
        letters: list[Any] = []
        deadline = time.monotonic() + PATIENCE
        while not letters and time.monotonic() < deadline:
            letters = api.json("GET", "/queue/dlq")
        (letter,) = letters
        assert (letter["attempts"], letter["value"]) == (3, "poison")
        assert letter["errorMessage"] == "Lease expired after max attempts"
        assert api.value("lost", 1) == "poison"  # in the same commit: there is no later
        assert api.json("GET", "/queue/stats")["total"] == 1


def test_a_killed_server_keeps_the_leases(server: LiveServer, tmp_path: Path) -> None:
    with api_of(server.api) as api:
        api.json("POST", "/queue/enqueue", {"value": 1})
        assert api.json("GET", "/queue/poll")["message"]["attempts"] == 1
        wait_until_counted(server, 1)
        server.kill()
    with live_server(tmp_path) as again, event_stream(again.api, "/queue/listen") as stream:
        event = stream.next()
        assert event is not None
        assert event.data["attempts"] == 2


class Crowd:
    """What all the listeners together saw."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.lock = threading.Lock()
        self.held: set[str] = set()
        self.acked: set[str] = set()
        self.abandoned = 0
        self.problems: list[str] = []

    @property
    def done(self) -> bool:
        return len(self.acked) >= self.wanted or bool(self.problems)

    def received(self, message_id: str) -> None:
        with self.lock:
            if message_id in self.held:
                self.problems.append(f"{message_id} is with two open connections")
            if message_id in self.acked:
                self.problems.append(f"{message_id} came after its ack")
            self.held.add(message_id)


def come_and_go(base: str, crowd: Crowd, seed: int) -> None:
    """Listen, process some messages, leave without settling what is there, and come again."""
    dice = random.Random(seed)
    with api_of(base) as api:
        while not crowd.done:
            query = {"prefetch": str(dice.randint(1, 8)), "lease": "true"}
            with event_stream(base, "/queue/listen", query=query) as stream:
                mine = serve(api, stream, crowd, dice.randint(1, 120))
                with crowd.lock:
                    crowd.held -= mine
                    crowd.abandoned += len(mine)


def serve(api: Api, stream: Any, crowd: Crowd, turns: int) -> set[str]:
    """Process so many messages; ids of those that were received and not acked."""
    mine: set[str] = set()
    waiting: list[Any] = []
    for _ in range(turns):
        try:
            event = stream.next(0.5)
        except TimeoutError:
            break
        crowd.received(event.id)
        mine.add(event.id)
        waiting.append(event.data)
        if len(waiting) > 1 or turns % 2:
            message = waiting.pop(0)
            api.json("POST", "/queue/ack", {"id": message["id"], "lease": message["lease"]})
            with crowd.lock:
                crowd.acked.add(message["id"])
                crowd.held.discard(message["id"])
            mine.discard(message["id"])
    return mine


def test_many_messages_over_listeners_that_come_and_go(tmp_path: Path) -> None:
    with live_server(tmp_path) as server, api_of(server.api) as api:
        commits = share_of(20)
        crowd = Crowd(100 * commits)
        threads = [
            threading.Thread(target=come_and_go, args=(server.api, crowd, seed))
            for seed in range(8)
        ]
        for thread in threads:
            thread.start()
        sent = set()
        for _ in range(commits):
            mutations = [
                {"type": "enqueue", "value": n, "backoffSchedule": [0] * 50} for n in range(50)
            ]
            api.mutate(*mutations)
            for number in range(50):
                options = {"backoffSchedule": [0] * 50}
                body = {"value": number, "options": options}
                sent.add(api.json("POST", "/queue/enqueue", body)["id"])
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        assert crowd.problems == []
        assert len(crowd.acked) == 100 * commits
        assert sent < crowd.acked
        assert crowd.abandoned > 0  # leases were broken, and still
        assert api.json("GET", "/queue/stats") == {
            "dlq": 0, "pending": 0, "processing": 0, "total": 0,
        }  # fmt: skip
