"""A primary and a replica; `buntime serve` on them; stores of this process on them.

The names are those of the fixtures beside the modules whose tests run here a second time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Adapter
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_keyval.faces.local.kv import LocalKv
from database.libsql.support import wipe
from keyval.libsql.support import LAG_SECONDS, config_of, open_libsql_world, run_sql
from keyval.service.world import FakeClock, World
from support.api import Api, api_of
from support.live import LiveServer, live_server
from support.sqld import Sqld, running_sqld


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sqld]]:
    """Servers that the tests share."""
    with running_sqld(tmp_path_factory.mktemp("sqld"), replicas=1) as servers:
        yield servers


@pytest.fixture(scope="session")
def pair_of_worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sqld]]:
    """Servers for stores of this process: a host on the same ones would sweep what these keep."""
    with running_sqld(tmp_path_factory.mktemp("sqld-of-worlds"), replicas=1) as servers:
        yield servers


@pytest.fixture
def own_pair(tmp_path: Path) -> Iterator[list[Sqld]]:
    """Servers that a test may kill."""
    with running_sqld(tmp_path, replicas=1) as servers:
        yield servers


@pytest.fixture(scope="module")
def late_pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sqld]]:
    """A primary and a replica that is always behind."""
    lags = (LAG_SECONDS,)
    with running_sqld(tmp_path_factory.mktemp("pair"), replicas=1, lags=lags) as servers:
        yield servers


@pytest.fixture
def hosts(late_pair: list[Sqld], tmp_path: Path) -> Iterator[list[Api]]:
    """Two hosts with a replica."""
    asyncio.run(wipe([late_pair[0].url]))
    with ExitStack() as stack:
        apis = []
        for name in ("one", "two"):
            (tmp_path / name).mkdir()
            server = stack.enter_context(live_server(tmp_path / name, config_of(late_pair)))
            apis.append(stack.enter_context(api_of(server.api)))
        yield apis


@pytest.fixture(scope="module")
def shared_server(
    pair: list[Sqld], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server that the tests of one module share."""
    asyncio.run(wipe([pair[0].url]))
    with live_server(tmp_path_factory.mktemp("server"), config_of(pair)) as running:
        yield running


@pytest.fixture(scope="module")
def shared_api(shared_server: LiveServer) -> Iterator[Api]:
    with api_of(shared_server.api) as api:
        yield api


@pytest.fixture
def api(shared_api: Api, pair: list[Sqld]) -> Api:
    """The API of the shared server, over an empty store and queue without indexes."""
    for index in shared_api.json("GET", "/indexes"):
        shared_api.json("DELETE", "/indexes", {"prefix": index["prefix"]})
    run_sql(pair[0], "DELETE FROM kv_queue", "DELETE FROM kv_dlq")
    # Last: from its own write on, the server reads nothing that is older than that.
    shared_api.put("any", 0)
    shared_api.empty()
    return shared_api


@pytest.fixture
async def world(pair_of_worlds: list[Sqld]) -> AsyncIterator[World]:
    """On the primary alone: some tests count what happens meanwhile, and replicas lag."""
    await wipe([pair_of_worlds[0].url])
    async with open_libsql_world(pair_of_worlds[:1]) as opened:
        yield opened
        await opened.service.close()


@pytest.fixture
async def other(world: World, pair_of_worlds: list[Sqld]) -> AsyncIterator[World]:
    """A second process on the same server, as far as the store can tell."""
    async with open_libsql_world(pair_of_worlds[:1], world.clock) as opened:
        yield opened


@pytest.fixture
def join_store(
    world: World, pair_of_worlds: list[Sqld]
) -> Callable[[FakeClock], AbstractAsyncContextManager[World]]:
    """Opens the store of `world` once more, as a host does whose clock is another one."""
    return lambda clock: open_libsql_world(pair_of_worlds[:1], clock)


@pytest.fixture
def open_store(pair_of_worlds: list[Sqld]) -> Callable[[], AbstractAsyncContextManager[World]]:
    asyncio.run(wipe([pair_of_worlds[0].url]))
    return lambda: open_libsql_world(pair_of_worlds)


@pytest.fixture(scope="session")
def namespaced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqld]:
    """A server with a database for each namespace."""
    folder = tmp_path_factory.mktemp("namespaced")
    with running_sqld(folder, namespaces=True) as (server,):
        yield server


@pytest.fixture
def database_of(namespaced: Sqld) -> Callable[[str], Adapter]:
    made: dict[str, str] = {}

    def open_database(name: str) -> Adapter:
        if name not in made:
            made[name] = namespaced.create_namespace()
        return LibsqlAdapter([namespaced.url], options=LibsqlOptions(namespace=made[name]))

    return open_database


@pytest.fixture
def host_config(pair: list[Sqld]) -> Callable[..., dict[str, Any]]:
    asyncio.run(wipe([pair[0].url]))
    return lambda **options: config_of(pair, options)


@pytest.fixture
def kv(world: World) -> LocalKv:
    return world.kv


@pytest.fixture
def clock(world: World) -> FakeClock:
    return world.clock
