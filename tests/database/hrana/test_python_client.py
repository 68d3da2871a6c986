"""The Python `libsql-client`, which nobody here wrote, against our server."""

from __future__ import annotations

import libsql_client
import pytest
from libsql_client import Client, LibsqlError, Statement
from support.hrana import HranaHttp
from support.live import LiveServer

pytestmark = pytest.mark.slow

TRANSPORTS = ["http", "ws"]


def url_of(server: LiveServer, hrana: HranaHttp, transport: str) -> str:
    """Over HTTP this client wants the slash at the end."""
    return f"{server.url.replace('http', transport, 1)}/database/api/dev/{hrana.tenant}/"


@pytest.fixture(params=TRANSPORTS)
def url(request: pytest.FixtureRequest, hrana_server: LiveServer, hrana: HranaHttp) -> str:
    """The database of this test, over each transport."""
    return url_of(hrana_server, hrana, request.param)


def opened(url: str, token: str | None = None) -> Client:
    return libsql_client.create_client(url, auth_token=token)


async def test_values_are_exact(url: str) -> None:
    values = [None, 2**63 - 1, -(2**63), 1.0, 0.1, "text ä💧", b"\0\1\xff", b""]
    places = ", ".join("?" for _ in values)
    async with opened(url) as client:
        result = await client.execute(f"SELECT {places}", values)
        assert [(type(v), v) for v in result.rows[0]] == [(type(v), v) for v in values]


async def test_rows_columns_and_counts(url: str) -> None:
    async with opened(url) as client:
        await client.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
        inserted = await client.execute("INSERT INTO t (name) VALUES (?), (?)", ["a", "b"])
        assert (inserted.rows_affected, inserted.last_insert_rowid) == (2, 2)
        found = await client.execute("SELECT id, name FROM t WHERE name = :name", {"name": "b"})
        assert found.columns == ("id", "name")
        assert found.rows[0].asdict() == {"id": 2, "name": "b"}
        empty = await client.execute("SELECT id FROM t WHERE 0")
        assert (empty.columns, len(empty)) == (("id",), 0)


async def test_a_batch_is_all_or_nothing(url: str) -> None:
    async with opened(url) as client:
        await client.execute("CREATE TABLE t (x UNIQUE)")
        results = await client.batch(["INSERT INTO t VALUES (1)", Statement("SELECT ? AS y", [5])])
        assert results[1].rows[0]["y"] == 5
        with pytest.raises(LibsqlError) as raised:
            await client.batch(["INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)"])
        assert raised.value.code == "SQLITE_CONSTRAINT"
        assert [tuple(row) for row in (await client.execute("SELECT x FROM t")).rows] == [(1,)]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT nonsense", "SQLITE_ERROR"),
        ("SELECT 1; SELECT 2", "SQL_MANY_STATEMENTS"),
        ("SELECT ?", "ARGS_INVALID"),
        ("ATTACH 'x' AS x", "SQLITE_AUTH"),
    ],
)
async def test_errors_have_codes(url: str, sql: str, code: str) -> None:
    async with opened(url) as client:
        with pytest.raises(LibsqlError) as raised:
            await client.execute(sql)
        assert raised.value.code == code


async def test_interactive_transactions(hrana_server: LiveServer, hrana: HranaHttp) -> None:
    async with opened(url_of(hrana_server, hrana, "ws")) as client:
        await client.execute("CREATE TABLE t (x)")
        transaction = client.transaction()
        await transaction.execute("INSERT INTO t VALUES (1)")
        assert len(await transaction.execute("SELECT * FROM t")) == 1
        assert len(await client.execute("SELECT * FROM t")) == 0
        await transaction.commit()
        assert len(await client.execute("SELECT * FROM t")) == 1
        transaction = client.transaction()
        await transaction.execute("DELETE FROM t")
        await transaction.rollback()
        assert len(await client.execute("SELECT * FROM t")) == 1


def test_the_synchronous_client(url: str) -> None:
    with libsql_client.create_client_sync(url) as client:
        assert tuple(client.execute("SELECT ?", [2**63 - 1]).rows[0]) == (2**63 - 1,)
