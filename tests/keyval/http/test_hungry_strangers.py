"""Clients that ask for much and never read: what they may cost the server in memory."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import hungry
from support.api import Api, api_of
from support.hungry import MIB
from support.live import LiveServer, live_server

LARGE = 9_900_000
CLIENTS = 80

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="memory is told by Linux alone"),
    pytest.mark.slow,
]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server of its own for each: memory that was used once stays with a process."""
    with live_server(tmp_path) as running:
        yield running
        running.kill()  # it would wait for those who never read


def request(server: LiveServer, target: str, body: Any = None) -> bytes:
    """What asks for a target below the API: a GET, or a POST of a body."""
    url = urlsplit(server.api)
    method, content = ("GET", "") if body is None else ("POST", json.dumps(body))
    head = f"{method} {url.path}{target} HTTP/1.1\r\nHost: {url.netloc}\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode()


def assert_frugal(server: LiveServer, api: Api, *requests: bytes) -> None:
    """On each of many connections one of the requests is sent, in turn, and nothing is read."""

    def other() -> None:
        api.put("bystander", 1)
        assert api.value("bystander") == 1

    hungry.assert_frugal(server, itertools.islice(itertools.cycle(requests), CLIENTS), other)


def put(api: Api, key: str, letter: str, more: str = "") -> None:
    content = f'"{letter * LARGE}{more}"'.encode()
    assert api.send("PUT", f"/keys/{key}", content=content).status_code == 200


def test_watchers(server: LiveServer) -> None:
    with api_of(server.api) as api:
        for letter in "abc":
            put(api, f"three/{letter}", letter)
        assert_frugal(
            server,
            api,
            request(server, "/watch/prefix?prefix=three"),
            request(server, "/watch?keys=three/a,three/b"),
        )


def test_listeners(server: LiveServer) -> None:
    message: Any = {"value": "m" * LARGE}
    with api_of(server.api) as api:
        for _ in range(5):
            api.json("POST", "/queue/enqueue", message)
        targets = ("/queue/listen?prefetch=1000", "/queue/listen")
        assert_frugal(server, api, *(request(server, target) for target in targets))


def test_readers(server: LiveServer) -> None:
    with api_of(server.api) as api:
        put(api, "wide", "a", "😀")
        targets = ("/keys/wide", "/keys/wide?details=true")
        assert_frugal(server, api, *(request(server, target) for target in targets))


def put_pages(api: Api) -> None:
    value = '"' + "p" * (MIB - 2) + '"'
    for number in range(20):
        assert api.send("PUT", f"/keys/p/{number}", content=value).status_code == 200


def test_pages(server: LiveServer) -> None:
    with api_of(server.api) as api:
        put_pages(api)
        paths = ["/keys/paginate?prefix=p", "/keys?prefix=p&limit=15"]
        targets = (*paths, "/keys/paginate?prefix=p&snapshot=true")
        assert_frugal(server, api, *(request(server, target) for target in targets))


def test_batches(server: LiveServer) -> None:
    keys = [["p", number] for number in range(15)]
    with api_of(server.api) as api:
        put_pages(api)
        assert_frugal(
            server,
            api,
            request(server, "/keys/batch", {"keys": keys}),
            request(server, "/watch/poll", {"keys": keys}),
            request(server, "/transaction", {"reads": keys}),
        )


def test_searches(server: LiveServer) -> None:
    with api_of(server.api) as api:
        for number in range(20):
            api.put(f"s/{number}", {"text": "v" * MIB})
        api.json("POST", "/indexes", {"prefix": ["s"], "fields": ["text"]})
        search = {"prefix": ["s"], "query": "v*"}
        assert_frugal(server, api, request(server, "/search/paginate", search))


def test_who_asks_again_without_having_read(server: LiveServer) -> None:
    """The next answer of a connection is made when the one before has left."""
    with api_of(server.api) as api:
        put_pages(api)
        page = request(server, "/keys/paginate?prefix=p")
        assert_frugal(server, api, page * 5)
