"""Clients that ask for much and never read: what they may cost the server in memory."""

from __future__ import annotations

import itertools
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.api import Api, api_of
from support.live import LiveServer, live_server

MIB = 1024 * 1024
MOST = 500 * MIB
"""128 MiB of it are answers that wait, the rest is what reading the next ones takes meanwhile."""
LARGE = 9_900_000
CLIENTS = 80
CALM_SECONDS = 2.0

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="memory is told by Linux alone"),
    pytest.mark.slow,
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server of its own for each: memory that was used once stays with a process."""
    with live_server(tmp_path) as running:
        yield running


def memory(server: LiveServer, name: str) -> int:
    """What the kernel says of a process, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def assert_frugal(server: LiveServer, api: Api, *targets: str) -> None:
    """Ask on so many connections, read nothing, and see what that took once nothing moves."""
    url = urlsplit(server.api)
    before = memory(server, "VmRSS")
    sockets = []
    for target, _ in zip(itertools.cycle(targets), range(CLIENTS), strict=False):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((url.hostname, url.port))
        head = f"GET {url.path}{target} HTTP/1.1\r\nHost: {url.netloc}\r\n\r\n"
        connection.sendall(head.encode())
        sockets.append(connection)
    calm_since = time.monotonic()
    peak = 0
    while time.monotonic() - calm_since < CALM_SECONDS:
        api.put("bystander", 1)
        assert api.value("bystander") == 1
        if memory(server, "VmHWM") > peak:
            peak = memory(server, "VmHWM")
            calm_since = time.monotonic()
        time.sleep(0.05)
    for connection in sockets:
        connection.close()
    assert peak - before < MOST, f"{(peak - before) // MIB} MiB"


def put(api: Api, key: str, letter: str, more: str = "") -> None:
    content = f'"{letter * LARGE}{more}"'.encode()
    assert api.send("PUT", f"/keys/{key}", content=content).status_code == 200


def test_watchers(server: LiveServer) -> None:
    with api_of(server.api) as api:
        for letter in "abc":
            put(api, f"three/{letter}", letter)
        assert_frugal(server, api, "/watch/prefix?prefix=three", "/watch?keys=three/a,three/b")


def test_listeners(server: LiveServer) -> None:
    message: Any = {"value": "m" * LARGE}
    with api_of(server.api) as api:
        for _ in range(5):
            api.json("POST", "/queue/enqueue", message)
        assert_frugal(server, api, "/queue/listen?prefetch=1000", "/queue/listen")


def test_readers(server: LiveServer) -> None:
    with api_of(server.api) as api:
        put(api, "wide", "a", "😀")
        assert_frugal(server, api, "/keys/wide", "/keys/wide?details=true")


def test_pages(server: LiveServer) -> None:
    value = '"' + "p" * (MIB - 2) + '"'
    with api_of(server.api) as api:
        for number in range(20):
            assert api.send("PUT", f"/keys/p/{number}", content=value).status_code == 200
        paths = ["/keys/paginate?prefix=p", "/keys?prefix=p&limit=15"]
        assert_frugal(server, api, *paths, "/keys/paginate?prefix=p&snapshot=true")
