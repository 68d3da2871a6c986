"""What one client may take of the streams: the others find room."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.api import Api, api_of
from support.live import DEFAULT_PLUGINS, live_server
from support.sse import EventStream, event_stream

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


@pytest.mark.parametrize("path", STREAMS)
def test_one_client_takes_no_more_than_its_share(server: Api, path: str) -> None:
    option = "queue.maxListeners" if "queue" in path else "watch.maxWatchers"
    streams = [EventStream(server.base, path, headers=ONE) for _ in range(2)]
    for _ in range(3):  # what was refused takes no room
        refused = server.send("GET", path, headers=ONE)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["code"] == "KEYVAL_TOO_MANY_STREAMS"
        assert f"({option}PerClient is 2)" in refused.json()["error"]
    streams += [EventStream(server.base, path, headers=OTHER) for _ in range(2)]
    # Those who cannot be told apart share what is left, which is for all.
    streams += [EventStream(server.base, path) for _ in range(2)]
    assert [stream.status for stream in streams] == [200] * 6
    refused = server.send("GET", path, headers=OTHER)
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert f"({option} is 6)" in refused.json()["error"]
    streams[0].close()
    deadline = time.monotonic() + 15
    while True:  # the server learns that the client is gone
        with event_stream(server.base, path, headers=ONE) as again:
            if again.status == 200:
                break
        assert time.monotonic() < deadline
    for stream in streams:
        stream.close()
