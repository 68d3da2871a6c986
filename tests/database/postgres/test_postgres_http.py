"""The HTTP API over PostgreSQL: the same shapes, and what SQL from outside must not do there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from buntime_database import InvalidStatement
from buntime_plugin_database.faces.families.postgres import POSTGRES, NotPrivileged
from database.postgres.support import new_schema
from support.database import Api, database_server
from support.live import LiveServer
from support.postgres import Postgres

_TENANTS = itertools.count()
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
FOREIGN = frozenset({"public", "public-other", "pg_catalog", "information_schema"})


@pytest.fixture(scope="module")
def api_server(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """A server that lets this machine write."""
    adapter = {"type": "postgres", "url": postgres.url, "schema": new_schema(), "poolSize": 4}
    with database_server(
        tmp_path_factory.mktemp("api"),
        adapters=[adapter],
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
    assert api.get("adapters") == {"adapters": ["postgres"], "default": "postgres"}
    assert api.get("health") == {"status": "healthy", "adapters": {"postgres": "healthy"}}


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
    sql = "SELECT :a AS a, :b::text AS b, :a AS c, ':a' AS d /* :g */"
    found = api.post("query", {"sql": sql, "args": {"a": 1, ":b": "x"}})
    assert found["rows"] == [{"a": 1, "b": "x", "c": 1, "d": ":a"}]
    found = api.post("query", {"sql": sql, "args": {"a": 1, "b": "x", "z": 3}}, 400)
    assert found["code"] == "ARGS_INVALID"


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("SELECT FROM WHERE", "POSTGRES_SYNTAX_ERROR"),
        ("SELECT * FROM nothing", "POSTGRES_UNDEFINED_TABLE"),
        ("SELECT 1; SELECT 2", "INVALID_STATEMENT"),
        ("SELECT ?", "ARGS_INVALID"),
        ("BEGIN", "INVALID_STATEMENT"),
        ("SET search_path TO other", "INVALID_STATEMENT"),
        ("CREATE TEMP TABLE t (x int)", "INVALID_STATEMENT"),
        ("SELECT 1/0", "POSTGRES_DIVISION_BY_ZERO"),
        (ENDLESS, "STATEMENT_TIMEOUT"),
        ("SELECT repeat('x', 200000)", "RESPONSE_TOO_LARGE"),
        ("SELECT pg_read_file('/etc/hostname')", "POSTGRES_INSUFFICIENT_PRIVILEGE"),
    ],
)
def test_mistakes_of_the_client(api: Api, sql: str, code: str) -> None:
    assert api.post("query", {"sql": sql}, 400)["code"] == code


def test_read_only_on_request(api: Api) -> None:
    api.sql("CREATE TABLE t (x int UNIQUE)")
    api.sql("CREATE SEQUENCE s")
    for sql in (
        "INSERT INTO t VALUES (1)",
        "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
        "/* SELECT */ DELETE FROM t",
        "DROP TABLE t",
        "SELECT 1 INTO u",
        "EXPLAIN ANALYZE DELETE FROM t",
    ):
        found = api.post("query", {"sql": sql, "readonly": True}, 400)
        assert found["code"] == "POSTGRES_INSUFFICIENT_PRIVILEGE"
    for sql in ("SELECT * FROM t FOR UPDATE", "SELECT lastval()"):  # told by the server alone
        api.post("query", {"sql": sql, "readonly": True}, 400)
    for sql in ("SELECT * FROM t", "EXPLAIN SELECT 1", "VALUES (1)", "TABLE t", "SHOW TimeZone"):
        api.post("query", {"sql": sql, "readonly": True})
    assert api.rows("SELECT count(*) FROM t") == [[0]]


def test_a_batch_is_all_or_nothing(api: Api) -> None:
    statements = [
        {"sql": "CREATE TABLE t (x int UNIQUE)"},
        {"sql": "INSERT INTO t VALUES (?)", "args": [1]},
        {"sql": "SELECT x FROM t WHERE x = :x", "args": {"x": 1}},
    ]
    results = api.post("batch", {"statements": statements})["results"]
    assert [result["rowsAffected"] for result in results] == [0, 1, 0]
    assert results[2]["rows"] == [{"x": 1}]
    twice = [{"sql": "INSERT INTO t VALUES (2)"}, {"sql": "INSERT INTO t VALUES (1)"}]
    assert api.post("batch", {"statements": twice}, 409)["code"] == "POSTGRES_UNIQUE_VIOLATION"
    ended = [{"sql": "INSERT INTO t VALUES (3)"}, {"sql": "ROLLBACK"}]
    assert api.post("batch", {"statements": ended}, 400)["error"].startswith("statement 1: ")
    assert api.rows("SELECT x FROM t") == [[1]]


def test_tables_and_rows(api: Api) -> None:
    api.sql("CREATE TABLE folders (a int, b int, PRIMARY KEY (b, a))")
    api.sql(
        "CREATE TABLE notes (id serial PRIMARY KEY, text varchar(20) NOT NULL DEFAULT 'x', b bytea,"
        " fa int, fb int, FOREIGN KEY (fb, fa) REFERENCES folders ON DELETE CASCADE)"
    )
    api.sql("CREATE UNIQUE INDEX by_text ON notes (text, lower(text))")
    api.sql("CREATE VIEW v AS SELECT 1 AS one")
    tables = api.get("tables?counts=true")
    assert tables == {
        "tables": [
            {"name": "folders", "type": "table", "rowCount": 0},
            {"name": "notes", "type": "table", "rowCount": 0},
            {"name": "v", "type": "view", "rowCount": 1},
        ],
        "type": "postgres",
    }
    schema = api.get("tables/notes/schema")
    assert schema["columns"][1] == {
        "name": "text",
        "type": "character varying(20)",
        "nullable": False,
        "pk": False,
        "pkIndex": 0,
        "default": "'x'::character varying",
    }
    assert schema["columns"][0]["pkIndex"] == 1
    assert schema["indexes"] == [
        {"name": "by_text", "unique": True, "origin": "c", "columns": ["text", None]},
        {"name": "notes_pkey", "unique": True, "origin": "pk", "columns": ["id"]},
    ]
    ends = {"id": 0, "table": "folders", "onUpdate": "NO ACTION", "onDelete": "CASCADE"}
    assert schema["foreignKeys"] == [
        {**ends, "column": "fb", "to": "b"},
        {**ends, "column": "fa", "to": "a"},
    ]
    assert schema["sql"] is None
    assert "SELECT 1 AS one" in api.get("tables/v/schema")["sql"]
    folders = api.get("tables/folders/schema")["columns"]
    assert [column["pkIndex"] for column in folders] == [2, 1]
    rows = [{"text": "a"}, {"text": "b", "b": {"$blob": "AP8="}}, {}]
    stored = api.post("tables/notes/rows", {"rows": rows}, 201)
    assert [row["id"] for row in stored["rows"]] == [1, 2, 3]
    change = {"where": {"id": {"gte": 2}, "text": "b", "fa": None}, "set": {"text": "B"}}
    assert api.call("PATCH", "tables/notes/rows", change) == {"ok": True, "rowsAffected": 1}
    page = api.get('tables/notes/rows?limit=2&orderBy=id&dir=desc&filter={"text":{"ne":"a"}}')
    assert [row["id"] for row in page["rows"]] == [3, 2]
    assert (page["total"], page["limit"], page["offset"]) == (2, 2, 0)
    deleted = api.call("DELETE", "tables/notes/rows", {"where": {"text": "x"}})
    assert deleted["rowsAffected"] == 1
    assert api.get("tables/nothing/rows", 404)["code"] == "TABLE_NOT_FOUND"
    bad = {"row": {'x") VALUES (1); --': 1}}
    assert api.post("tables/notes/rows", bad, 400)["code"] == "COLUMN_NOT_FOUND"


def test_tenants_have_nothing_in_common(api: Api) -> None:
    for _ in range(2):
        created = {"ok": True, "id": "web-1", "type": "postgres"}
        assert api.post("tenants", {"id": "web-1"}, 201) == created
    api.sql("CREATE TABLE only_web (x int)", tenant="web-1")
    api.sql("INSERT INTO only_web VALUES (7)", tenant="web-1")
    assert [table["name"] for table in api.get("tables?tenant=web-1")["tables"]] == ["only_web"]
    assert api.get("tables?tenant=acme")["tables"] == []
    tenants = api.get("tenants")["tenants"]
    assert {"acme", "web-1"} <= set(tenants)
    (schema,) = api.rows("SELECT current_schema()", tenant="web-1")[0]
    assert api.rows(f'SELECT x FROM "{schema}".only_web', tenant="web-1") == [[7]]
    for sql in (
        f'SELECT x FROM "{schema}".only_web',
        f'SELECT x FROM "{schema}" /* */ . only_web',
        "SELECT relname FROM pg_class",
        "SELECT table_name FROM information_schema.tables",
    ):
        found = api.post("query", {"sql": sql, "tenant": "acme"}, 400)
        assert found["code"] == "POSTGRES_INSUFFICIENT_PRIVILEGE", sql
    assert api.call("DELETE", "tenants/web-1") == {"ok": True, "deleted": True}
    assert api.call("DELETE", "tenants/web-1") == {"ok": True, "deleted": False}
    assert api.post("tenants", {"id": "../x"}, 400)["code"] == "INVALID_TENANT"
    assert api.post("tenants", {"id": "x" * 60}, 400)["code"] == "INVALID_TENANT"


def test_hrana_says_that_it_needs_sessions(api: Api) -> None:
    error = api.post("v2/pipeline", {"requests": []}, 501)
    assert error["code"] == "SESSIONS_NOT_SUPPORTED"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT Pg_Read_File /* a */ -- b\n ('/etc/passwd')",
        "SELECT \"pg_read_file\"('/etc/passwd')",
        "SELECT pg_catalog . pg_read_binary_file('/etc/passwd')",
        "SELECT U&\"pg\\005fread_file\"('/etc/passwd')",
        "SELECT * FROM pg_ls_dir('/')",
        "SELECT lo_import('/etc/passwd')",
        "SELECT set_config('search_path', 'public', false)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_terminate_backend(1)",
        "SELECT query_to_xml('DELETE FROM t', true, true, '')",
        "SELECT * FROM dblink('', 'SELECT 1')",
        "SELECT passwd FROM pg_shadow",
        'SELECT rolpassword FROM "pg_authid"',
        "SELECT query FROM pg_stat_activity",
        "SELECT histogram_bounds FROM pg_catalog.pg_stats",
        "SELECT * FROM pg_stats_ext",
        "SELECT * FROM pg_statistic",
        "SELECT * FROM pg_stat_replication",
        "SELECT statement FROM pg_prepared_statements",
        "SELECT subconninfo FROM pg_subscription",
        "SELECT srvoptions FROM pg_foreign_server",
        "SELECT * FROM pg_locks",
        "SELECT setting FROM pg_settings",
        "SELECT option_value FROM information_schema.user_mapping_options",
        "CREATE VIEW v AS SELECT * FROM pg_stat_activity",
        "DO $$ BEGIN PERFORM 1; END $$",
        "CALL anything()",
        "SELEC 1",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION dblink",
        "CREATE SCHEMA s",
        "DROP SCHEMA public CASCADE",
        "CREATE ROLE r",
        "ALTER SYSTEM SET fsync = off",
        "ALTER TABLE t SET SCHEMA other",
        "GRANT ALL ON t TO PUBLIC",
        "SET LOCAL ROLE other",
        "LOCK TABLE t",
        "REINDEX DATABASE postgres",
        "CREATE VIEW v AS SELECT pg_read_file('x')",
        "CREATE TABLE t (x text DEFAULT pg_read_file('x'))",
    ],
)
def test_what_sql_from_outside_must_not_do(sql: str) -> None:
    with pytest.raises(NotPrivileged):
        POSTGRES.authorize(sql, readonly=False, schema=True, foreign=None)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'pg_read_file(1)', $$pg_read_file(1)$$, E'\\'pg_shadow' -- pg_read_file(1)",
        "SELECT relname, pg_get_expr(adbin, adrelid) FROM pg_class, pg_attrdef, pg_index",
        "SELECT pg_statement FROM pg_indexes, pg_tables, pg_views, pg_type",
        "SELECT pg_size_pretty(pg_total_relation_size('t')), lower('x'), count(*) FROM t",
        "CREATE UNIQUE INDEX i ON t (x)",
        "CREATE OR REPLACE VIEW v AS SELECT * FROM t",
        "CREATE UNLOGGED TABLE t (x int)",
        "ALTER TABLE t ADD COLUMN y jsonb",
        "TRUNCATE t",
        "WITH a AS (DELETE FROM t RETURNING x) SELECT * FROM a",
        "MERGE INTO t USING u ON t.x = u.x WHEN MATCHED THEN DELETE",
        "REFRESH MATERIALIZED VIEW v",
    ],
)
def test_what_it_may(sql: str) -> None:
    POSTGRES.authorize(sql, readonly=False, schema=True, foreign=None)
    POSTGRES.authorize("SELECT t.x FROM t", readonly=True, schema=False, foreign=FOREIGN)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM public.t",
        'SELECT * FROM "public-other".t',
        "SELECT * FROM Public\n.t",
        "INSERT INTO public.t VALUES (1)",
        "CREATE TABLE u (LIKE public.t)",
        "SELECT nextval('public.s')",
        "SELECT * FROM pg_tables",
        "SELECT * FROM information_schema.columns",
    ],
)
def test_what_a_tenant_must_not(sql: str) -> None:
    with pytest.raises(NotPrivileged):
        POSTGRES.authorize(sql, readonly=False, schema=True, foreign=FOREIGN)


@pytest.mark.parametrize("sql", ["CREATE TABLE t (x int)", "DROP TABLE t", "SELECT 1 INTO t"])
def test_who_may_write_but_not_define(sql: str) -> None:
    with pytest.raises(NotPrivileged, match="may not change the schema"):
        POSTGRES.authorize(sql, readonly=False, schema=False, foreign=None)
    with pytest.raises(InvalidStatement):
        POSTGRES.authorize("SELECT 1; SELECT 2", readonly=False, schema=True, foreign=None)
