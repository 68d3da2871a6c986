"""One server for each module, one empty store for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.api import Api, api_of
from support.live import LiveServer, live_server


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that the tests of one module share."""
    with live_server(tmp_path_factory.mktemp("server")) as running:
        yield running


@pytest.fixture(scope="module")
def shared_api(shared_server: LiveServer) -> Iterator[Api]:
    with api_of(shared_server.api) as api:
        yield api


@pytest.fixture
def api(shared_api: Api) -> Api:
    """The API of the shared server, over an empty store."""
    shared_api.empty()
    return shared_api
