"""An empty store has no messages."""

from __future__ import annotations

import pytest
from keyval.engines import Engine
from support.api import Api
from support.live import LiveServer


@pytest.fixture
def api(shared_api: Api, shared_server: LiveServer, engine: Engine) -> Api:
    """The API of the shared server, over an empty store and queue."""
    engine.forget_messages(shared_server)
    # Last: from its own write on, the server reads nothing that is older than that.
    shared_api.put("any", 0)
    shared_api.empty()
    return shared_api
