"""What an operator sees of a server that is away: readiness, log lines, metrics. Real processes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from keyval.libsql.support import config_of
from support.api import api_of
from support.live import LiveServer, live_server
from support.sqld import Sqld
from support.waiting import PATIENCE


def wait_for(condition: Callable[[], Any], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"waited for {what}"
        time.sleep(0.05)


def ready(server: LiveServer) -> httpx2.Response:
    return httpx2.get(f"{server.url}/health/ready", timeout=PATIENCE)


def lines(server: LiveServer, part: str) -> list[str]:
    messages = []
    for line in server.output.splitlines():
        try:
            messages.append(str(json.loads(line)["message"]))
        except ValueError:
            messages.append(line)
    return [message for message in messages if part in message]


@pytest.fixture
def config(own_pair: list[Sqld]) -> dict[str, Any]:
    return config_of(own_pair[:1], operationTimeout=1000)


def test_a_server_that_nobody_asks_is_missed_and_found_again(
    own_pair: list[Sqld], config: dict[str, Any], tmp_path: Path
) -> None:
    (primary, *_) = own_pair
    with live_server(tmp_path, config) as server:
        assert ready(server).status_code == 200
        primary.kill()
        wait_for(lambda: ready(server).status_code == 503, "the failure")
        reason = ready(server).json()["plugins"]["@buntime/plugin-database"]["reason"]
        assert "libSQL server" in reason
        primary.start()
        wait_for(lambda: ready(server).status_code == 200, "the recovery")


def test_refused_requests_leave_a_line_each_kind_and_one_when_it_is_over(
    own_pair: list[Sqld], config: dict[str, Any], tmp_path: Path
) -> None:
    (primary, *_) = own_pair
    with live_server(tmp_path, config) as server, api_of(server.api) as api:
        api.put("a", 1)
        primary.kill()
        for _ in range(20):
            assert api.send("PUT", "/keys/a", 2).status_code == 503
            assert api.send("GET", "/keys/a").status_code == 503
        assert ready(server).status_code == 503
        assert len(lines(server, "writes fail")) == 1
        assert len(lines(server, "reads fail")) == 1
        # The rest of the metrics is there all the same, and says so.
        text = httpx2.get(f"{server.url}/metrics", timeout=PATIENCE).text
        assert "keyval_database_up 0\n" in text
        assert "keyval_operations_total" in text
        assert "keyval_entries_total" not in text
        assert api.json("GET", "/metrics")["storage"] is None
        primary.start()
        wait_for(lambda: api.send("PUT", "/keys/a", 3).status_code == 200, "a write")
        wait_for(lambda: ready(server).status_code == 200, "the recovery")
        wait_for(lambda: lines(server, "writes work again, after"), "the line")
        wait_for(lambda: lines(server, "reads work again, after"), "the other line")
        assert (
            "keyval_database_up 1\n" in httpx2.get(f"{server.url}/metrics", timeout=PATIENCE).text
        )


def test_a_server_that_hangs_is_not_ready(
    own_pair: list[Sqld], config: dict[str, Any], tmp_path: Path
) -> None:
    (primary, *_) = own_pair
    with live_server(tmp_path, config) as server:
        assert ready(server).status_code == 200
        primary.pause()
        try:
            wait_for(lambda: ready(server).status_code == 503, "the failure")
        finally:
            primary.kill()
