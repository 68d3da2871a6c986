"""An empty store has no indexes."""

from __future__ import annotations

import pytest
from support.api import Api


@pytest.fixture
def api(shared_api: Api) -> Api:
    """The API of the shared server, over an empty store without indexes."""
    shared_api.empty()
    for index in shared_api.json("GET", "/indexes"):
        shared_api.json("DELETE", "/indexes", {"prefix": index["prefix"]})
    return shared_api
