"""Primaries and replicas, shared or of one test; hosts on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from keyval.engines import Servers
from keyval.libsql.support import LAG_SECONDS, config_of, empty
from support.api import Api, api_of
from support.live import live_server
from support.sqld import Sqld, running_sqld


@pytest.fixture
def pair_of_worlds(database_servers: Servers) -> list[Sqld]:
    """Servers for stores of this process, which tests share."""
    return database_servers.of_worlds


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


@pytest.fixture(scope="module")
def shared_hosts(
    late_pair: list[Sqld], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Api]]:
    """Two hosts with a replica, which the tests of a module share."""
    empty(late_pair[0])
    with ExitStack() as stack:
        apis = []
        for name in ("one", "two"):
            folder = tmp_path_factory.mktemp(name)
            server = stack.enter_context(live_server(folder, config_of(late_pair)))
            apis.append(stack.enter_context(api_of(server.api)))
        yield apis


@pytest.fixture
def hosts(shared_hosts: list[Api]) -> list[Api]:
    """The hosts, whose store has no entries and no messages."""
    one, two = shared_hosts
    one.empty()
    one.empty_queue()
    # Then it reads from the replica no sooner than that is there, too.
    assert two.json("POST", "/keys/count", {"prefix": [], "consistency": "strong"}) == {"count": 0}
    return shared_hosts
