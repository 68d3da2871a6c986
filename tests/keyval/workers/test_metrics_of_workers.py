"""Whichever worker is asked, the metrics are those of all of them."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from support.api import Api
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.workers import api_of_worker, client_of, connect_to


def count(api: Api, operation: str) -> int:
    operations = api.json("GET", "/metrics")["operations"]["operations"]
    return int(operations.get(operation, {"count": 0})["count"])


def scraped(client: httpx2.Client, server: LiveServer) -> dict[str, float]:
    """What Prometheus gets."""
    text = client.get(f"{server.url}/metrics").text
    return {
        name: float(value) for name, value in re.findall(r"^(\w\S*) (\S+)$", text, re.MULTILINE)
    }


def test_both_tell_the_same(server: LiveServer, one: Api, two: Api) -> None:
    before = count(one, "set")
    commits = one.json("GET", "/metrics")["engine"]["commits"]
    for number in range(10):
        one.put("m", number)
        two.put("m", number)
        assert count(one, "set") == count(two, "set") == before + 2 * (number + 1)
    assert two.json("GET", "/metrics")["engine"]["commits"] >= commits + 20
    left, right = (scraped(api.client, server) for api in (one, two))
    for name in left:
        # Those that did not change between the two.
        if 'operation="set"' in name or "entries" in name:
            assert left[name] == right[name]
    assert left['keyval_operations_total{operation="set"}'] == before + 20
    assert left['keyval_operation_duration_ms_count{operation="set"}'] == before + 20


def test_errors_and_streams_of_both(server: LiveServer, one: Api, two: Api) -> None:
    streams = [connect_to(server, worker) for worker in (0, 1)]
    try:
        for stream in streams:
            stream.sendall(b"GET /keyval/api/watch?keys=a HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"200 OK" in stream.recv(4096)
        for api in (one, two):
            assert api.json("GET", "/metrics")["streams"]["watchers"] == 2
    finally:
        for stream in streams:
            stream.close()


def test_no_counter_goes_back_when_a_worker_dies(tmp_path: Path) -> None:
    with live_server(tmp_path, workers=2) as server:
        with api_of_worker(server, 1) as doomed, api_of_worker(server, 0) as other:
            for number in range(20):
                doomed.put("a", number)
            before = scraped(other.client, server)
            os.kill(server.worker_pids()[1], signal.SIGKILL)
            server.wait_for_output("is back")
            after = scraped(other.client, server)
        for name, value in before.items():
            if name.endswith("_total") or "_count" in name or "_sum" in name or "_bucket" in name:
                assert after[name] >= value
        with api_of_worker(server, 1) as successor:
            successor.put("a", 21)
            assert count(successor, "set") == 21


@pytest.mark.parametrize("interval", ["20ms", "1h"])
def test_saved_metrics_count_once(tmp_path: Path, interval: str) -> None:
    metrics: dict[str, Any] = {"persistent": True, "flushInterval": interval}
    plugins = [DEFAULT_PLUGINS[0], [DEFAULT_PLUGINS[1], {"metrics": metrics}]]
    for round_ in range(3):
        with live_server(tmp_path, {"plugins": plugins}, workers=2) as server:
            for worker in (0, 1):
                with api_of_worker(server, worker) as api:
                    for number in range(10):
                        api.put("a", number)
            for worker in (0, 1):
                with client_of(server, worker) as client:
                    found = scraped(client, server)['keyval_operations_total{operation="set"}']
                    assert found == 20 * (round_ + 1)
            assert server.stop() == 0
