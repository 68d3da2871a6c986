"""A server with two workers, whose polling for foreign commits is as good as off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.api import Api
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.workers import api_of_worker

# What one worker hears of the other in time, it was told.
PLUGINS: list[Any] = [DEFAULT_PLUGINS[0], [DEFAULT_PLUGINS[1], {"foreignPoll": "1h"}]]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("workers")
    with live_server(folder, {"plugins": PLUGINS}, workers=2) as running:
        yield running


@pytest.fixture
def one(server: LiveServer) -> Iterator[Api]:
    """The first worker."""
    with api_of_worker(server, 0) as api:
        yield api


@pytest.fixture
def two(server: LiveServer) -> Iterator[Api]:
    """The second worker."""
    with api_of_worker(server, 1) as api:
        yield api
