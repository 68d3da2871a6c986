"""One server for each module, one empty store for each test; stores of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Adapter
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.faces.local.kv import LocalKv
from keyval.service.world import FAST, FakeClock, World, open_world
from support.api import Api, api_of
from support.live import DEFAULT_PLUGINS, LiveServer, live_server


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
async def other(world: World, tmp_path: Path) -> AsyncIterator[World]:
    """A second process on the database of `world`, as far as the store can tell."""
    async with open_world(tmp_path / "kv.db", world.clock) as opened:
        yield opened


@pytest.fixture
def join_store(
    world: World, tmp_path: Path
) -> Callable[[FakeClock], AbstractAsyncContextManager[World]]:
    """Opens the database of `world` once more, as a host does whose clock is another one."""
    return lambda clock: open_world(tmp_path / "kv.db", clock)


@pytest.fixture
def open_store(tmp_path: Path) -> Callable[[], AbstractAsyncContextManager[World]]:
    """Opens the one store of a test, as a process does when it starts."""
    return lambda: open_world(tmp_path / "kv.db")


@pytest.fixture
def database_of(tmp_path: Path) -> Callable[[str], Adapter]:
    """Opens the database of a name, which is empty at first; the test closes it."""
    return lambda name: SqliteAdapter(str(tmp_path / f"{name}.db"), options=FAST)


@pytest.fixture
def host_config() -> Callable[..., dict[str, Any]]:
    """Makes the configuration of a host from options of the store."""
    return lambda **options: {"plugins": [DEFAULT_PLUGINS[0], ["@buntime/plugin-keyval", options]]}


@pytest.fixture
def kv(world: World) -> LocalKv:
    return world.kv


@pytest.fixture
def clock(world: World) -> FakeClock:
    return world.clock
