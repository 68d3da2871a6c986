"""An empty store has no messages."""

from __future__ import annotations

import os

import apsw
import pytest
from support.api import Api
from support.live import LiveServer


@pytest.fixture
def api(shared_api: Api, shared_server: LiveServer) -> Api:
    """The API of the shared server, over an empty store and queue."""
    shared_api.empty()
    database = apsw.Connection(os.fspath(shared_server.folder / "data" / "_default.db"))
    database.set_busy_timeout(5000)
    database.execute("DELETE FROM kv_queue; DELETE FROM kv_dlq")
    database.close()
    return shared_api
