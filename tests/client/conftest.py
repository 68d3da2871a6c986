"""One server for each module, one empty store for each test, and both clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from buntime_keyval import AsyncKv, Kv
from client.facade import Blocking
from support.live import DEFAULT_PLUGINS, LiveServer, live_server


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that the tests of one module share; its locks and heartbeats are short."""
    options = {
        "queue": {"lockDuration": 1000, "cleanupInterval": 300, "heartbeat": 200},
        "watch": {"heartbeat": 200},
    }
    config = {"plugins": [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", options]]}
    with live_server(tmp_path_factory.mktemp("server"), config) as running:
        yield running


@pytest.fixture
def api(shared_server: LiveServer) -> str:
    """The URL of the API of an empty store with an empty queue."""
    with Kv(shared_server.api) as kv:
        kv.delete([], everything=True)
        while (message := kv.dequeue()) is not None:
            kv.ack_message(message.id)
        kv.dlq.purge()
    return shared_server.api


@pytest.fixture(params=["async", "sync"])
async def kv(request: pytest.FixtureRequest, api: str) -> AsyncIterator[Any]:
    """Each of the clients, with the methods of `AsyncKv`."""
    async with open_client(request.param, api) as client:
        yield client


def open_client(kind: str, api: str, **options: Any) -> Any:
    """A client of either kind."""
    return AsyncKv(api, **options) if kind == "async" else Blocking(Kv(api, **options))
