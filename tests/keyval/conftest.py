"""One server for each module, one empty store for each test; stores of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from buntime_plugin_keyval.kv import Kv
from keyval.service.world import FakeClock, World, open_world
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


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """A store in a file, with a clock that is moved by hand."""
    async with open_world(tmp_path / "kv.db") as opened:
        yield opened
        await opened.service.close()


@pytest.fixture
def kv(world: World) -> Kv:
    return world.kv


@pytest.fixture
def clock(world: World) -> FakeClock:
    return world.clock
