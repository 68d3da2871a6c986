"""`query`, `execute`, `batch`: SQL with bound arguments, within limits."""

from __future__ import annotations

from typing import Any

import pytest
from support.database import Api

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


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


def test_columns_with_equal_names(api: Api) -> None:
    found = api.post("query", {"sql": "SELECT 1 AS a, 2 AS a, 3 AS 'a:1', 4 AS a"})
    assert found["rows"] == [{"a": 1, "a:1": 2, "a:1:1": 3, "a:2": 4}]
    assert [column["name"] for column in found["columns"]] == list(found["rows"][0])


def test_what_a_statement_changes(api: Api) -> None:
    api.sql("CREATE TABLE t (id INTEGER PRIMARY KEY, x)")
    inserted = api.sql("INSERT INTO t (x) VALUES (?), (?)", 1, 2)
    assert (inserted["rowsAffected"], inserted["lastInsertRowid"]) == (2, "2")
    assert api.sql("UPDATE t SET x = 0")["rowsAffected"] == 2
    assert api.sql("DELETE FROM t RETURNING id")["rows"] == [{"id": 1}, {"id": 2}]


@pytest.mark.parametrize(
    ("sent", "stored", "kind"),
    [
        (None, None, "null"),
        (True, 1, "integer"),
        (5, 5, "integer"),
        (1.0, 1.0, "real"),
        ("ä", "ä", "text"),
        ({"$blob": "AP8="}, {"$blob": "AP8="}, "blob"),
        (2**53, str(2**53), "integer"),
        ({"$int": "9223372036854775807"}, "9223372036854775807", "integer"),
        (-(2**63), str(-(2**63)), "integer"),
    ],
)
def test_values(api: Api, sent: Any, stored: Any, kind: str) -> None:
    assert api.rows("SELECT ?1, typeof(?1)", sent) == [[stored, kind]]


def test_values_that_json_has_no_word_for(api: Api) -> None:
    assert api.rows("SELECT 9e999, -9e999") == [["inf", "-inf"]]
    found = api.post("query?blob=text", {"sql": "SELECT x'c3a4ff'"})
    assert list(found["rows"][0].values()) == ["ä\N{REPLACEMENT CHARACTER}"]


def test_named_arguments(api: Api) -> None:
    found = api.post("query", {"sql": "SELECT :a, @b", "args": {"a": 1, "@b": 2}})
    assert list(found["rows"][0].values()) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, "MISSING_SQL"),
        ({"sql": 5}, "MISSING_SQL"),
        ({"sql": " "}, "MISSING_SQL"),
        ({"sql": "SELEC 1"}, "SQLITE_ERROR"),
        ({"sql": "SELECT * FROM nothing"}, "SQLITE_ERROR"),
        ({"sql": "SELECT 1; SELECT 2"}, "SQL_MANY_STATEMENTS"),
        ({"sql": "SELECT ?"}, "ARGS_INVALID"),
        ({"sql": "SELECT ?", "args": [[1]]}, "HRANA_INVALID_VALUE"),
        ({"sql": "SELECT ?", "args": [2**63]}, "HRANA_INVALID_VALUE"),
        ({"sql": "SELECT ?", "args": 5}, "INVALID_BODY"),
        ({"sql": "SELECT 1", "type": "mysql"}, "INVALID_STATEMENT"),
        ({"sql": "SELECT 1", "tenant": "../x"}, "INVALID_TENANT"),
        ({"sql": "SELECT 1", "maxRows": -1}, "BAD_REQUEST"),
        ({"sql": "ATTACH 'x' AS x"}, "SQLITE_AUTH"),
        ({"sql": "BEGIN"}, "TRANSACTION_LEFT_OPEN"),
        ({"sql": ENDLESS}, "STATEMENT_TIMEOUT"),
        ({"sql": "SELECT randomblob(200000)"}, "RESPONSE_TOO_LARGE"),
    ],
)
def test_mistakes_of_the_client(api: Api, body: dict[str, Any], code: str) -> None:
    assert api.post("query", body, 400)["code"] == code


def test_an_unreadable_body(api: Api) -> None:
    for content in (b"", b"{", b"[]", b"\xff"):
        answer = api.client.post(f"{api.base}/query", content=content)
        assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_BODY")


def test_a_violated_constraint(api: Api) -> None:
    api.sql("CREATE TABLE t (x UNIQUE)")
    api.sql("INSERT INTO t VALUES (1)")
    error = api.post("execute", {"sql": "INSERT INTO t VALUES (1)"}, 409)
    assert error["code"] == "SQLITE_CONSTRAINT_UNIQUE"


def test_rows_are_limited(api: Api) -> None:
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 51) SELECT"
    found = api.post("query", {"sql": f"{rows} i FROM n"})
    assert (found["rowCount"], found["truncated"]) == (50, True)
    exact = api.post("query", {"sql": f"{rows} i FROM n WHERE i <= 50"})
    assert (exact["rowCount"], exact["truncated"]) == (50, False)
    fewer = api.post("query", {"sql": f"{rows} i FROM n", "maxRows": 3})
    assert (fewer["rowCount"], fewer["truncated"]) == (3, True)
    assert api.post("query", {"sql": f"{rows} i FROM n", "maxRows": 1000})["rowCount"] == 50


def test_a_limit_of_rows_does_not_stop_a_write_halfway(api: Api) -> None:
    api.sql("CREATE TABLE t (x)")
    rows = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 60) SELECT"
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
        "CREATE TEMP TABLE x (y)",
        "PRAGMA user_version = 5",
        "PRAGMA query_only = OFF",
        "BEGIN IMMEDIATE",
        "VACUUM",
        "REINDEX",
    ):
        assert api.post("query", {"sql": sql, "readonly": True}, 400)["code"] == "SQLITE_AUTH"
    for sql in ("SELECT * FROM t", "PRAGMA table_info(t)", "EXPLAIN SELECT 1", "VALUES (1)"):
        api.post("query", {"sql": sql, "readonly": True})


def test_a_batch_is_all_or_nothing(api: Api) -> None:
    statements = [
        {"sql": "CREATE TABLE t (x UNIQUE)"},
        {"sql": "INSERT INTO t VALUES (?)", "args": [1]},
        {"sql": "SELECT x FROM t"},
    ]
    results = api.post("batch", {"statements": statements})["results"]
    assert [result["rowsAffected"] for result in results] == [0, 1, 0]
    assert results[2]["rows"] == [{"x": 1}]
    twice = [{"sql": "INSERT INTO t VALUES (2)"}, {"sql": "INSERT INTO t VALUES (1)"}]
    error = api.post("batch", {"statements": twice}, 409)
    assert error["error"] == "statement 1: UNIQUE constraint failed: t.x"
    ended = [{"sql": "INSERT INTO t VALUES (3)"}, {"sql": "ROLLBACK"}]
    assert api.post("batch", {"statements": ended}, 400)["code"] == "TRANSACTION_ENDED"
    assert api.post("batch", {"statements": [{"sql": ""}]}, 400)["code"] == "MISSING_SQL"
    assert api.rows("SELECT x FROM t") == [[1]]
    assert api.post("batch", {"statements": []}) == {"results": []}
