"""One server for each module, and one empty store for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import Kv, open_kv_sync
from support.live import DEFAULT_PLUGINS, LiveServer, live_server


@pytest.fixture(scope="session")
def short_times() -> dict[str, Any]:
    """Options of a store whose locks and heartbeats are short."""
    return {
        "queue": {"lockDuration": 1000, "cleanupInterval": 300, "heartbeat": 200},
        "watch": {"heartbeat": 200},
    }


@pytest.fixture(scope="session")
def new_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a store that holds nothing: to make one takes longer than most tests."""
    path = tmp_path_factory.mktemp("new") / "store.db"
    with open_kv_sync(path) as kv:
        assert kv.count([]) == 0
    return path


@pytest.fixture(scope="module")
def shared_server(
    tmp_path_factory: pytest.TempPathFactory, short_times: dict[str, Any]
) -> Iterator[LiveServer]:
    """A server that the tests of one module share; its locks and heartbeats are short."""
    config = {"plugins": [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", short_times]]}
    with live_server(tmp_path_factory.mktemp("server"), config) as running:
        yield running


@pytest.fixture
def api(shared_server: LiveServer) -> str:
    """The URL of the API of an empty store with an empty queue."""
    with Kv(shared_server.api) as kv:
        kv.delete([], everything=True)
        while (message := kv.dequeue()) is not None:
            kv.ack_message(message.id)
        for lock in kv.locks.list():
            kv.locks.release(lock.name, lock.owner)
        kv.dlq.purge()
    return shared_server.api
