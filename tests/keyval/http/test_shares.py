"""What one client may take of the streams: the others find room."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, api_of
from support.live import DEFAULT_PLUGINS, live_server
from support.sse import EventStream
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

ONE = {"X-Forwarded-For": "203.0.113.1"}
OTHER = {"X-Forwarded-For": "203.0.113.2"}
STREAMS = ["/watch?keys=a", "/watch/prefix?prefix=a", "/queue/listen"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    options: dict[str, Any] = {
        "watch": {"maxWatchers": 6, "maxWatchersPerClient": 2, "heartbeat": 100},
        "queue": {"maxListeners": 6, "maxListenersPerClient": 2, "heartbeat": 100},
    }
    folder: Path = tmp_path_factory.mktemp("shares")
    plugins = [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", options]]
    with live_server(folder, {"plugins": plugins}) as running, api_of(running.api) as api:
        yield api


def opened(server: Api, path: str, headers: dict[str, str] | None = None) -> EventStream:
    """A stream, once the server has learned that those of clients before have gone."""
    deadline = time.monotonic() + PATIENCE
    while True:
        stream = EventStream(server.base, path, headers=headers or {})
        if stream.status == 200:
            return stream
        stream.close()
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("path", STREAMS)
def test_one_client_takes_no_more_than_its_share(server: Api, path: str) -> None:
    option = "queue.maxListeners" if "queue" in path else "watch.maxWatchers"
    streams = [opened(server, path, ONE) for _ in range(2)]
    for _ in range(3):  # what was refused takes no room
        refused = server.send("GET", path, headers=ONE)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["code"] == "KEYVAL_TOO_MANY_STREAMS"
        assert f"({option}PerClient is 2)" in refused.json()["error"]
    streams += [opened(server, path, OTHER) for _ in range(2)]
    # Those who cannot be told apart share what is left, which is for all.
    streams += [opened(server, path) for _ in range(2)]
    refused = server.send("GET", path, headers=OTHER)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert f"({option} is 6)" in refused.json()["error"]
    streams[0].close()
    streams[0] = opened(server, path, ONE)
    for stream in streams:
        stream.close()
