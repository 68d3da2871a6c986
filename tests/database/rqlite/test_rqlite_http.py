"""The HTTP API over a cluster: as on other servers, but for the rows of what writes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from database.rqlite.support import wipe
from support.database import Api, database_server
from support.live import LiveServer
from support.rqlite import Rqlited

_NAMES = itertools.count()
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


@pytest.fixture(scope="module")
def api_server(node: Rqlited, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that lets this machine write."""
    wipe(node)
    adapter = {"type": "rqlite", "urls": [node.url]}
    folder = tmp_path_factory.mktemp("api")
    with database_server(folder, adapters=[adapter], api={"write": True}) as server:
        yield server


@pytest.fixture
def api(api_server: LiveServer) -> Iterator[Api]:
    with Api(api_server) as opened:
        yield opened


@pytest.fixture
def table(api: Api) -> str:
    name = f"t{next(_NAMES)}"
    api.sql(f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, b BLOB, x)")
    return name


def test_health_and_adapters(api: Api) -> None:
    assert api.get("adapters") == {"adapters": ["rqlite"], "default": "rqlite"}
    assert api.get("health") == {"status": "healthy", "adapters": {"rqlite": "healthy"}}


def test_statements(api: Api, table: str) -> None:
    inserted = api.sql(f"INSERT INTO {table} (b, x) VALUES (?, ?), (?, ?)", None, 2**53 + 1, 1, 1.0)
    assert (inserted["rowsAffected"], inserted["lastInsertRowid"]) == (2, "2")
    twice = f"SELECT x, x AS x FROM {table} WHERE id < :n"
    found = api.post("query", {"sql": twice, "args": {"n": 9}})
    assert found["rows"] == [{"x": str(2**53 + 1), "x:1": str(2**53 + 1)}, {"x": 1.0, "x:1": 1.0}]
    assert api.rows(f"SELECT count(*) FROM pragma_table_info('{table}')") == [[3]]
    error = api.post("query", {"sql": f"DELETE FROM {table} RETURNING id"}, 400)
    assert error["code"] == "INVALID_STATEMENT"
    assert "gives no rows" in error["error"]
    error = api.post("query", {"sql": f"UPDATE {table} SET x = random()"}, 400)
    assert "differs from node to node" in error["error"]
    assert api.rows(f"SELECT count(*) FROM {table}") == [[2]]


def test_rows_of_tables(api: Api, table: str) -> None:
    assert api.post(f"tables/{table}/rows", {"row": {"x": 1}}, 400)["code"] == "INVALID_STATEMENT"
    batch = [{"sql": f"INSERT INTO {table} (x) VALUES (?)", "args": [n]} for n in range(3)]
    results = api.post("batch", {"statements": batch})["results"]
    assert [result["rowsAffected"] for result in results] == [1, 1, 1]
    assert [row["x"] for row in api.get(f"tables/{table}/rows?orderBy=id")["rows"]] == [0, 1, 2]
    assert table in [found["name"] for found in api.get("tables")["tables"]]


def test_a_batch_is_all_or_nothing(api: Api, table: str) -> None:
    statements = [
        {"sql": f"INSERT INTO {table} (id) VALUES (1)"},
        {"sql": f"INSERT INTO {table} (id) VALUES (1)"},
    ]
    assert "UNIQUE" in api.post("batch", {"statements": statements}, 409)["error"]
    assert api.rows(f"SELECT count(*) FROM {table}") == [[0]]
    statements.append({"sql": f"SELECT id FROM {table}"})
    assert api.post("batch", {"statements": statements}, 400)["code"] == "INVALID_STATEMENT"


def test_there_are_no_tenants_and_no_hrana(api: Api) -> None:
    assert api.get("tenants", 501)["code"] == "TENANCY_NOT_SUPPORTED"
    assert api.post("query", {"sql": "SELECT 1", "tenant": "acme"}, 501)["error"]


def test_a_cluster_that_hangs_is_not_the_mistake_of_a_statement(
    node: Rqlited, tmp_path: Path
) -> None:
    adapter = {"type": "rqlite", "urls": [node.url]}
    settings = {"write": True, "statementTimeout": "1s"}
    with database_server(tmp_path, adapters=[adapter], api=settings) as server, Api(server) as api:
        api.post("query", {"sql": "SELECT 1"})
        node.pause()
        try:
            error = api.post("query", {"sql": "SELECT 1"}, 503)
        finally:
            node.resume()
        assert error["code"] == "DATABASE_UNAVAILABLE"
        assert "gave no answer in 1 s" in error["error"]
        assert api.post("query", {"sql": ENDLESS}, 400)["code"] == "STATEMENT_TIMEOUT"
