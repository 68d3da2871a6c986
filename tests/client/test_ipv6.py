"""A host on an IPv6 address: its lines, its checks, the client, the command line."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from buntime_keyval import Kv
from client.cli.conftest import Commands
from support.live import DEFAULT_PLUGINS, LiveServer, live_server


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


pytestmark = [pytest.mark.skipif(not _has_ipv6(), reason="needs IPv6"), pytest.mark.slow]


@pytest.fixture(scope="module", params=[1, 2])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    config = {"host": "::1", "plugins": DEFAULT_PLUGINS}
    folder = tmp_path_factory.mktemp("ipv6")
    with live_server(folder, config, workers=request.param) as running:
        yield running


def test_every_address_that_it_names_is_one_to_use(server: LiveServer) -> None:
    assert server.url.startswith("http://[::1]:")
    for line in server.output.splitlines():
        message = json.loads(line)["message"]
        assert "//::" not in message
    with httpx2.Client() as http:
        assert http.get(f"{server.url}/health/ready").status_code == 200


def test_client_and_command_line(server: LiveServer) -> None:
    with Kv(server.api) as kv:
        kv.set(["a", 1], 1)
        with kv.watch(["a"]) as watch:
            assert next(iter(watch))[0].value == 1
    assert Commands(server.api).ok("get", "a/1").out == "1\n"
    assert Commands(server.api).ok("watch", "a/1", "--limit", "1").out == "set\ta/1\t1\n"
    done = Commands("http://::1:8000/keyval/api")("get", "a/1")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "[::1]" in done.err or "brackets" in done.err


def test_its_own_pages_may_write_and_others_not(server: LiveServer) -> None:
    with httpx2.Client(base_url=server.api) as http:
        own = http.put("/keys/a/2", json={"value": 1}, headers={"origin": server.url})
        assert own.status_code == 200
        for other in ("http://[::1]:1", "http://[::2]", "http://::1", "null"):
            refused = http.put("/keys/a/2", json={"value": 1}, headers={"origin": other})
            assert (refused.status_code, refused.json()["code"]) == (403, "ORIGIN_NOT_ALLOWED")


def test_a_page_of_an_ipv6_origin_that_is_trusted(tmp_path: Path) -> None:
    origin = "http://[::1]:3000"
    config = {"host": "::1", "trustedOrigins": [origin], "plugins": DEFAULT_PLUGINS}
    with live_server(tmp_path, config) as server, httpx2.Client(base_url=server.api) as http:
        answer = http.put("/keys/a", json={"value": 1}, headers={"origin": origin})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == origin
