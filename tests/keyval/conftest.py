"""One server for each module, one empty store for each test; stores of this process.

They are on the engine that the mark of the test names, see `keyval.engines`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Adapter
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.storage import schema
from keyval.engines import ENGINES, Engine, Servers, sample_of_engines
from keyval.service.world import FakeClock, World
from support.api import Api, api_of
from support.live import LiveServer, add_looker, live_server
from support.postgres import Postgres
from support.sampling import is_in_sample

SAMPLE_OF_ASGI = 4
"""One case in so many is asked for by ASGI, too: both ways lead to the same routes."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out cases that come by ASGI, unless all are asked for; tests without cases stay."""
    if config.getoption("wide"):
        return
    left_out = {
        item
        for item in items
        if isinstance(item, pytest.Function)
        and hasattr(item, "callspec")
        and item.callspec.params.get("way") == "asgi"
        and item.callspec.params.keys() - {"engine", "way"}
        and not is_in_sample(item.nodeid, SAMPLE_OF_ASGI)
    }
    if left_out:
        config.hook.pytest_deselected(items=[*left_out])
        items[:] = [item for item in items if item not in left_out]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that has a store on each engine that its mark names, one after the other."""
    ways = metafunc.definition.get_closest_marker("ways")
    if ways is not None and "way" in metafunc.fixturenames:
        metafunc.parametrize("way", ways.args, indirect=True, scope="module")
    mark = metafunc.definition.get_closest_marker("engines")
    if mark is not None and "engine" in metafunc.fixturenames:
        names = list(mark.args)
        if not metafunc.config.getoption("wide"):
            names = sample_of_engines(metafunc.definition.nodeid, names)
        # Each commit is a round trip to another process, and a test begins with an empty server;
        # the odd dialect is the embedded one once more.
        of_files = "sqlite" if "sqlite" in names else "odd"
        marks = {name: [] if name == of_files else [pytest.mark.slow] for name in names}
        engines = [pytest.param(name, marks=marks[name]) for name in names]
        metafunc.parametrize("engine", engines, indirect=True, scope="module")


@pytest.fixture(scope="session")
def database_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Servers]:
    """Servers that the tests share; none runs before one of them is asked for."""

    def postgres() -> Postgres:
        server = request.getfixturevalue("postgres")
        assert isinstance(server, Postgres)
        return server

    with ExitStack() as stack:
        yield Servers(stack, tmp_path_factory.mktemp, postgres)


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest, database_servers: Servers) -> Iterator[Engine]:
    """Where the stores of a test are: embedded, unless it has the mark `engines`."""
    yield ENGINES[getattr(request, "param", "sqlite")](database_servers)
    database_servers.end_namespaces()


@pytest.fixture(scope="module")
def way(request: pytest.FixtureRequest) -> str:
    """How requests come to the plugin: `direct`, unless the test has the mark `ways`, or `asgi`."""
    return str(getattr(request, "param", "direct"))


@pytest.fixture(scope="module")
def shared_server(
    engine: Engine, way: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server that the tests of one module share."""
    engine.empty_hosts()
    folder = tmp_path_factory.mktemp("server")
    config = engine.host_config({})
    if way == "asgi":
        config["plugins"].append(add_looker(folder))
    with live_server(folder, config) as running:
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
def open_store(engine: Engine, tmp_path: Path) -> Callable[..., AbstractAsyncContextManager[World]]:
    """Opens the one store of a test, as a process does when it starts; with a clock or a new one.

    While it is open this is a second process on it, as far as the store can tell.
    """
    engine.empty_worlds()
    return partial(engine.open_world, tmp_path)


@pytest.fixture
def open_older_store(
    engine: Engine,
    open_store: Callable[..., AbstractAsyncContextManager[World]],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[int], AbstractAsyncContextManager[World]]:
    """Opens the store of `open_store` as the plugin did that had only so many migrations."""
    engine.drop_worlds()
    known = schema.load_migrations()

    @asynccontextmanager
    async def opened(version: int) -> AsyncIterator[World]:
        with monkeypatch.context() as older:
            older.setattr(schema, "load_migrations", lambda *_: known[:version])
            async with open_store() as world:
                yield world

    return opened


@pytest.fixture
async def world(
    open_store: Callable[[], AbstractAsyncContextManager[World]],
) -> AsyncIterator[World]:
    """A store with a clock that is moved by hand."""
    async with open_store() as opened:
        yield opened
        await opened.service.close()


@pytest.fixture
def join_store(
    world: World, open_store: Callable[[FakeClock], AbstractAsyncContextManager[World]]
) -> Callable[[FakeClock], AbstractAsyncContextManager[World]]:
    """Opens the database of `world` once more, as a host does whose clock is another one."""
    return open_store


@pytest.fixture
async def other(
    world: World, open_store: Callable[[FakeClock], AbstractAsyncContextManager[World]]
) -> AsyncIterator[World]:
    """A second process on the database of `world`, as far as the store can tell."""
    async with open_store(world.clock) as opened:
        yield opened


@pytest.fixture
def database_of(engine: Engine, tmp_path: Path) -> Callable[[str], Adapter]:
    """Opens the database of a name, which is empty at first; the test closes it."""
    return partial(engine.open_database, tmp_path)


@pytest.fixture
def host_config(engine: Engine) -> Callable[..., dict[str, Any]]:
    """Makes the configuration of a host from options of the store, which is empty at first."""
    engine.empty_hosts()
    return lambda **options: engine.host_config(options)


@pytest.fixture
def kv(world: World) -> LocalKv:
    return world.kv


@pytest.fixture
def clock(world: World) -> FakeClock:
    return world.clock
