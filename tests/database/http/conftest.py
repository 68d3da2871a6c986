"""One server for all tests of the HTTP API; each test has a tenant of its own."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from support.database import Api, database_server
from support.live import LiveServer

_TENANTS = itertools.count()


@pytest.fixture(scope="package")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that lets this machine write."""
    with database_server(
        tmp_path_factory.mktemp("api"),
        api={"write": True, "statementTimeout": "1s", "maxResponseSize": "100kb", "maxRows": 50},
        tenancy={"autoCreate": True},
    ) as server:
        yield server


@pytest.fixture
def api(api_server: LiveServer) -> Iterator[Api]:
    """The API of an empty database."""
    tenant = f"tenant{next(_TENANTS)}"
    opened = Api(api_server, **{"x-database-namespace": tenant})
    yield opened
    opened.client.close()
