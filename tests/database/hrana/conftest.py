"""One server for all tests of Hrana; each test has a tenant, that is a database, of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.database import database_server
from support.hrana import HranaHttp, OpenHrana
from support.live import LiveServer


@pytest.fixture(scope="package")
def hrana_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that lets this machine write, and gives nobody much time."""
    with database_server(
        tmp_path_factory.mktemp("hrana"),
        api={
            "write": True,
            "maxStreams": 20,
            "maxResponseSize": "100kb",
            "idleTimeout": "1500ms",
            "transactionTimeout": "1s",
            "statementTimeout": "1s",
        },
        tenancy={"autoCreate": True},
    ) as server:
        yield server


@pytest.fixture
def open_hrana(hrana_server: LiveServer) -> Iterator[OpenHrana]:
    """Opens clients over HTTP, each on an empty database unless a tenant is named."""
    opened: list[HranaHttp] = []

    def open_one(tenant: str | None = None) -> HranaHttp:
        opened.append(HranaHttp(hrana_server, tenant))
        return opened[-1]

    yield open_one
    for client in opened:
        client.client.close()


@pytest.fixture
def hrana(open_hrana: OpenHrana) -> HranaHttp:
    """Hrana over HTTP on an empty database."""
    return open_hrana()
