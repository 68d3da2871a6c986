"""The HTTP API over servers, which have no sessions: the same shapes, by the adapter alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_database import InvalidStatement
from buntime_plugin_database.shared.permissions import NotAuthorized, authorize
from support.database import Api, database_server
from support.live import LiveServer
from support.sqld import Sqld

_TENANTS = itertools.count()
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def adapter_of(servers: list[Sqld], **options: Any) -> dict[str, Any]:
    urls = [server.url for server in servers]
    return {"type": "libsql", "urls": urls, "adminUrl": servers[0].admin_url, **options}


@pytest.fixture(scope="module")
def api_server(
    namespaced: list[Sqld], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server that lets this machine write."""
    with database_server(
        tmp_path_factory.mktemp("api"),
        adapters=[adapter_of(namespaced)],
        api={"write": True, "statementTimeout": "1s", "maxResponseSize": "100kb", "maxRows": 50},
        tenancy={"autoCreate": True},
    ) as server:
        yield server


@pytest.fixture
def api(api_server: LiveServer) -> Iterator[Api]:
    """The API of an empty database."""
    with Api(api_server, **{"x-database-namespace": f"http{next(_TENANTS)}"}) as opened:
        yield opened


def test_health_and_adapters(api: Api) -> None:
    assert api.get("adapters") == {"adapters": ["libsql"], "default": "libsql"}
    assert api.get("health") == {"status": "healthy", "adapters": {"libsql": "healthy"}}
    assert api.get("health?type=libsql") == {"status": "healthy", "type": "libsql"}


def test_a_query(api: Api) -> None:
    found = api.post("query", {"sql": "SELECT 1 AS one, ? AS two", "args": ["x"]})
    assert isinstance(found.pop("duration"), int)
    assert found == {
        "rowCount": 1,
        "rows": [{"one": 1, "two": "x"}],
        "columns": [{"name": "one", "type": None}, {"name": "two", "type": None}],
        "rowsAffected": 0,
        "lastInsertRowid": None,
        "truncated": False,
    }


def test_what_a_statement_changes(api: Api) -> None:
    api.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    inserted = api.sql("INSERT INTO t (x) VALUES (?), (?)", 1, 2)
    assert (inserted["rowsAffected"], inserted["lastInsertRowid"]) == (2, "2")
    assert api.sql("UPDATE t SET x = 0")["rowsAffected"] == 2
    assert api.sql("DELETE FROM t RETURNING id")["rows"] == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (None, None),
        (True, 1),
        (1.5, 1.5),
        ("ä", "ä"),
        ({"$blob": "AP8="}, {"$blob": "AP8="}),
        (-(2**63), str(-(2**63))),
    ],
)
def test_values(api: Api, sent: Any, stored: Any) -> None:
    assert api.rows("SELECT ?", sent) == [[stored]]


def test_named_arguments(api: Api) -> None:
    sql = "SELECT :a AS a, @b AS b, $c AS c, :a AS d, ':a' AS e, ? AS f /* :g */"
    found = api.post("query", {"sql": sql, "args": {"a": 1, "@b": 2, "c": 3, "?4": 4}}, 400)
    assert found["code"] == "ARGS_INVALID"
    sql = sql.replace("?", ":f")
    found = api.post("query", {"sql": sql, "args": {"a": 1, "@b": 2, "c": 3, "$f": 4}}, 400)
    assert found["code"] == "ARGS_INVALID"
    found = api.post("query", {"sql": sql, "args": {"a": 1, "@b": 2, "c": 3, "f": 4}})
    assert found["rows"] == [{"a": 1, "b": 2, "c": 3, "d": 1, "e": ":a", "f": 4}]
    for sql in ("SELECT :a, ?999999999999", "SELECT :a, ?0", f"SELECT :a, ?{'9' * 5000}"):
        found = api.post("query", {"sql": sql, "args": {"a": 1}}, 400)
        assert found["code"] == "ARGS_INVALID"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"sql": " "}, 400, "MISSING_SQL"),
        ({"sql": "SELEC 1"}, 400, "SQL_PARSE_ERROR"),
        ({"sql": "SELECT * FROM nothing"}, 400, "SQL_PARSE_ERROR"),
        ({"sql": "SELECT 1; SELECT 2"}, 400, "INVALID_STATEMENT"),
        ({"sql": "SELECT ?"}, 400, "ARGS_INVALID"),
        ({"sql": "SELECT ?", "args": [1, 2]}, 400, "ARGS_INVALID"),
        ({"sql": "SELECT 1", "tenant": "../x"}, 400, "INVALID_TENANT"),
        ({"sql": "SELECT 1", "tenant": "default"}, 400, "INVALID_TENANT"),
        ({"sql": "ATTACH 'x' AS x"}, 400, "INVALID_STATEMENT"),
        ({"sql": "BEGIN"}, 400, "INVALID_STATEMENT"),
        ({"sql": ENDLESS}, 400, "STATEMENT_TIMEOUT"),
        ({"sql": "SELECT randomblob(200000)"}, 400, "RESPONSE_TOO_LARGE"),
        ({"sql": "SELECT readfile('/etc/hostname')"}, 400, "SQLITE_AUTH"),
    ],
)
def test_mistakes_of_the_client(api: Api, body: dict[str, Any], status: int, code: str) -> None:
    assert api.post("query", body, status)["code"] == code


def test_rows_are_limited(api: Api) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60) SELECT"
    found = api.post("query", {"sql": f"{rows} i FROM n"})
    assert (found["rowCount"], found["truncated"]) == (50, True)
    exact = api.post("query", {"sql": f"{rows} i FROM n WHERE i <= 50"})
    assert (exact["rowCount"], exact["truncated"]) == (50, False)
    fewer = api.post("query", {"sql": f"{rows} i FROM n", "maxRows": 3})
    assert (fewer["rowCount"], fewer["truncated"]) == (3, True)
    api.sql("CREATE TABLE t (x)")
    found = api.sql(f"INSERT INTO t {rows} i FROM n RETURNING x")
    assert (len(found["rows"]), found["truncated"], found["rowsAffected"]) == (50, True, 60)
    assert api.rows("SELECT count(*) FROM t") == [[60]]


def test_read_only_on_request(api: Api) -> None:
    api.sql("CREATE TABLE t (x UNIQUE)")
    for sql in (
        "INSERT INTO t VALUES (1)",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "/* SELECT */ DELETE FROM t",
        "DROP TABLE t",
        "PRAGMA user_version = 5",
        "REINDEX",
        "SELECT writefile('x', 'y')",
    ):
        assert api.post("query", {"sql": sql, "readonly": True}, 400)["code"] == "SQLITE_AUTH"
    for sql in ("SELECT * FROM t", "PRAGMA table_info(t)", "EXPLAIN SELECT 1", "VALUES (1)"):
        api.post("query", {"sql": sql, "readonly": True})
    assert api.rows("SELECT count(*) FROM t") == [[0]]


def test_who_may_write(namespaced: list[Sqld], tmp_path: Path) -> None:
    with (
        database_server(tmp_path, adapters=[adapter_of(namespaced)]) as server,
        Api(server) as api,
    ):
        assert api.rows("SELECT 1") == [[1]]
        assert api.post("query", {"sql": "CREATE TABLE n (x)"}, 400)["code"] == "SQLITE_AUTH"
        for path, body in (
            ("query", {"sql": "CREATE TABLE n (x)", "readonly": False}),
            ("execute", {"sql": "CREATE TABLE n (x)"}),
            ("batch", {"statements": []}),
            ("tenants", {"id": "acme"}),
        ):
            assert api.post(path, body, 403)["code"] == "WRITE_DISABLED"


def test_a_batch_is_all_or_nothing(api: Api) -> None:
    statements = [
        {"sql": "CREATE TABLE t (x UNIQUE)"},
        {"sql": "INSERT INTO t VALUES (?)", "args": [1]},
        {"sql": "SELECT x FROM t WHERE x = :x", "args": {"x": 1}},
    ]
    results = api.post("batch", {"statements": statements})["results"]
    assert [result["rowsAffected"] for result in results] == [0, 1, 0]
    assert results[2]["rows"] == [{"x": 1}]
    twice = [{"sql": "INSERT INTO t VALUES (2)"}, {"sql": "INSERT INTO t VALUES (1)"}]
    error = api.post("batch", {"statements": twice}, 409)
    assert error["code"] == "SQLITE_CONSTRAINT_UNIQUE"
    ended = [{"sql": "INSERT INTO t VALUES (3)"}, {"sql": "ROLLBACK"}]
    assert api.post("batch", {"statements": ended}, 400)["error"].startswith("statement 1: ")
    assert api.post("batch", {"statements": [{"sql": ""}]}, 400)["code"] == "MISSING_SQL"
    assert api.rows("SELECT x FROM t") == [[1]]
    assert api.post("batch", {"statements": []}) == {"results": []}


def test_tables_and_rows(api: Api) -> None:
    api.sql("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL DEFAULT 'x', b BLOB)")
    api.sql("CREATE UNIQUE INDEX by_text ON notes (text)")
    api.sql("CREATE VIEW v AS SELECT 1 AS one")
    tables = api.get("tables?counts=true")
    assert tables == {
        "tables": [
            {"name": "notes", "type": "table", "rowCount": 0},
            {"name": "v", "type": "view", "rowCount": 1},
        ],
        "type": "libsql",
    }
    schema = api.get("tables/notes/schema")
    assert schema["columns"][1] == {
        "name": "text",
        "type": "TEXT",
        "nullable": False,
        "pk": False,
        "pkIndex": 0,
        "default": "'x'",
    }
    assert schema["indexes"] == [
        {"name": "by_text", "unique": True, "origin": "c", "columns": ["text"]}
    ]
    rows = [{"text": "a"}, {"text": "b", "b": {"$blob": "AP8="}}, {}]
    stored = api.post("tables/notes/rows", {"rows": rows}, 201)
    assert [row["id"] for row in stored["rows"]] == [1, 2, 3]
    assert (stored["rows"][2]["text"], stored["rowsAffected"]) == ("x", 3)
    failed = api.post("tables/notes/rows", {"rows": [{"text": "c"}, {"text": "a"}]}, 409)
    assert failed["code"] == "SQLITE_CONSTRAINT_UNIQUE"
    change = {"where": {"id": {"gte": 2}, "text": "b"}, "set": {"text": "B"}}
    assert api.call("PATCH", "tables/notes/rows", change) == {"ok": True, "rowsAffected": 1}
    page = api.get("tables/notes/rows?limit=2&orderBy=id&dir=desc&blob=text")
    assert [row["id"] for row in page["rows"]] == [3, 2]
    assert (page["total"], page["limit"], page["offset"]) == (3, 2, 0)
    assert [column["name"] for column in page["columns"]] == ["id", "text", "b"]
    deleted = api.call("DELETE", "tables/notes/rows", {"where": {"text": "x"}})
    assert deleted["rowsAffected"] == 1
    assert api.get("tables/nothing/rows", 404)["code"] == "TABLE_NOT_FOUND"
    bad = {"row": {'x") VALUES (1); --': 1}}
    assert api.post("tables/notes/rows", bad, 400)["code"] == "COLUMN_NOT_FOUND"


def test_tenants(api: Api, namespaced: list[Sqld]) -> None:
    created = {"ok": True, "id": "web", "type": "libsql"}
    for _ in range(2):
        assert api.post("tenants", {"id": "web"}, 201) == created
    api.sql("CREATE TABLE only_web (x)", tenant="web")
    assert [table["name"] for table in api.get("tables?tenant=web")["tables"]] == ["only_web"]
    assert api.get("tables")["tables"] == []
    assert namespaced[0].run("SELECT name FROM sqlite_schema", "web")["rows"]
    error = api.get("tenants", 501)
    assert error["code"] == "TENANCY_NOT_SUPPORTED"
    assert "cannot list" in error["error"]
    assert api.call("DELETE", "tenants/web") == {"ok": True, "deleted": True}
    assert api.call("DELETE", "tenants/web") == {"ok": True, "deleted": False}
    assert api.post("tenants", {"id": "../x"}, 400)["code"] == "INVALID_TENANT"


def test_a_tenant_that_does_not_exist(namespaced: list[Sqld], tmp_path: Path) -> None:
    with (
        database_server(tmp_path, adapters=[adapter_of(namespaced)]) as server,
        Api(server) as api,
    ):
        error = api.get("tables?tenant=nobody", 404)
        assert (error["code"], error["error"]) == ("TENANT_NOT_FOUND", "Tenant not found: nobody")


def test_hrana_says_that_it_needs_sessions(api: Api) -> None:
    error = api.post("v2/pipeline", {"requests": []}, 501)
    assert error["code"] == "SESSIONS_NOT_SUPPORTED"


def test_a_server_that_does_not_answer(tmp_path: Path, namespaced: list[Sqld]) -> None:
    other = Sqld(tmp_path / "other")
    other.start()
    try:
        adapter = adapter_of([other], adminUrl=None, operationTimeout=500)
        with database_server(tmp_path, adapters=[adapter]) as server, Api(server) as api:
            assert api.get("health")["status"] == "healthy"
            assert api.get("tables?tenant=acme", 501)["code"] == "TENANCY_NOT_SUPPORTED"
            other.pause()
            assert api.post("query", {"sql": "SELECT 1"}, 503)["code"] == "DATABASE_UNAVAILABLE"
            assert api.get("health")["status"] == "degraded"
            answer = api.client.get(f"{api.base}/health?type=libsql")
            assert (answer.status_code, answer.json()["status"]) == (500, "unhealthy")
            other.resume()
    finally:
        other.kill()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT readfile('/etc/passwd')",
        "SELECT ReadFile /* a */ -- b\n ('/etc/passwd')",
        "SELECT \"readfile\"('/etc/passwd')",
        "SELECT [readfile]('/etc/passwd')",
        "SELECT `readfile`('/etc/passwd')",
        "CREATE VIEW v AS SELECT writefile('x', 'y')",
        "CREATE TABLE t (x DEFAULT (readfile('x')))",
        "SELECT sha3_query('SELECT writefile(1, 2)')",
        "SELECT load_extension('x')",
        "SELECT * FROM fsdir('/etc')",
        "SELECT * FROM 'fsdir' WHERE path = '/etc'",
        "SELECT * FROM main.\"FSDIR\"('/etc')",
        "CREATE VIRTUAL TABLE f USING fts5(path, content='fsdir')",
        "UPDATE sqlite_dbpage SET data = zeroblob(4096)",
        'SELECT * FROM "Buntime_Access_keys"',
        "CREATE TRIGGER g AFTER INSERT ON t BEGIN DELETE FROM buntime_access_keys; END",
    ],
)
def test_what_reaches_beyond_the_database_is_refused(sql: str) -> None:
    with pytest.raises(NotAuthorized):
        authorize(sql, readonly=False, schema=True)


def test_names_alone_are_no_calls() -> None:
    for sql in ("SELECT readfile, 'writefile(1)' FROM t -- load_extension()", "SELECT 'a''b'"):
        authorize(sql, readonly=True, schema=True)
    with pytest.raises(InvalidStatement):
        authorize("SELECT 1; SELECT readfile('x')", readonly=True, schema=True)
