"""What a text in PostgreSQL's SQL is, and where its parameters are."""

from __future__ import annotations

import pytest
from buntime_database import InvalidStatement
from buntime_plugin_database.engines.postgres.statements import guard, parse


@pytest.mark.parametrize(
    ("sql", "text", "parameters"),
    [
        ("SELECT ?, ?", "SELECT $1, $2", 2),
        ("SELECT ?2, ?, ?1", "SELECT $2, $3, $1", 3),
        ("SELECT $2, $1, a ? b, a ?| b", "SELECT $2, $1, a ? b, a ?| b", 2),
        ("SELECT '?', \"?\", E'\\'?', $$?$$, $a$ $$ ? $a$", None, 0),
        ("SELECT 1 -- ?\n, /* ? /* ? */ ? */ ?", "SELECT 1 -- ?\n, /* ? /* ? */ ? */ $1", 1),
        ("SELECT a$1 FROM t", None, 0),
        ("SELECT 'it''s ?', ?::text", "SELECT 'it''s ?', $1::text", 1),
        ("SELECT e'a''?\\\\', ?", "SELECT e'a''?\\\\', $1", 1),
        ("SELECT name'?', ?", "SELECT name'?', $1", 1),
        ("SELECT 1 ; -- the end\n ;", None, 0),
        ("SELECT '?", None, 0),
        ("SELECT $a$ ?", None, 0),
        ("SELECT /* ?", None, 0),
    ],
)
def test_parameters(sql: str, text: str | None, parameters: int) -> None:
    parsed = parse(sql)
    assert parsed.parameters == parameters
    assert parsed.text == (sql if text is None else text)


def test_casts_go_where_the_parameters_are() -> None:
    parsed = parse("SELECT ?1, '?1', ?2, ?1")
    assert parsed.cast({1: "int8"}) == "SELECT $1::int8, '?1', $2, $1::int8"


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT 1", "read"),
        ("(SELECT 1) UNION (SELECT 2)", "read"),
        ("values (1)", "read"),
        ("TABLE t", "read"),
        ("SHOW server_version", "read"),
        ("EXPLAIN SELECT 1", "read"),
        ("WITH a AS (SELECT 1) SELECT * FROM a", "read"),
        ("SELECT * FROM t FOR UPDATE", "read"),  # which the server refuses to who reads
        ("SELECT * FROM t FOR NO KEY UPDATE", "read"),
        ("SELECT 'DELETE', \"update\" FROM t", "read"),
        ("SELECT 1 INTO t", "write"),
        ("WITH a AS (DELETE FROM t RETURNING x) SELECT * FROM a", "write"),
        ("EXPLAIN ANALYZE DELETE FROM t", "write"),
        ("INSERT INTO t SELECT 1", "write"),
        ("MERGE INTO t USING u ON a = b WHEN MATCHED THEN DELETE", "write"),
        ("CALL p()", "write"),
        ("SET CONSTRAINTS ALL DEFERRED", "write"),
        ("SET LOCAL work_mem TO '1MB'", "write"),
        ("CREATE TABLE t (x int)", "definition"),
        ("DO $$ BEGIN DELETE FROM t; COMMIT; END $$", "definition"),
        ("TRUNCATE t", "definition"),
    ],
)
def test_kinds(sql: str, kind: str) -> None:
    assert parse(sql).kind == kind


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " -- nothing",
        ";",
        "SELECT 1; SELECT 2",
        "SELECT 1;;; DELETE FROM t",
        *("BEGIN", "START TRANSACTION", "commit", "END", "ABORT", "ROLLBACK", "SAVEPOINT a"),
        *("RELEASE a", "PREPARE a AS SELECT 1", "PREPARE TRANSACTION 'a'", "EXECUTE a"),
        *("SET x TO 1", "SET SESSION x TO 1", "RESET ALL", "DISCARD ALL", "DEALLOCATE ALL"),
        *("LISTEN a", "UNLISTEN *", "DECLARE c CURSOR FOR SELECT 1", "FETCH c", "CLOSE c"),
        *("COPY t FROM STDIN", "LOAD 'x'", "CREATE TEMP TABLE t (x int)"),
        *("CREATE LOCAL TEMPORARY TABLE t (x int)", "SELECT 1 AS x INTO TEMP t", "SELECT '\0'"),
        *("SELECT '\ud800'", "SELECT ?0", "SELECT $99999"),
    ],
)
def test_what_is_refused(sql: str) -> None:
    with pytest.raises(InvalidStatement):
        parse(sql)


def test_guards_are_expressions() -> None:
    assert guard("x = ? -- why") == "SELECT (x = ? -- why\n) IS TRUE"
    for condition in ("1 = 1); COMMIT --", "1) FROM t WHERE (SELECT 1 INTO u"):
        with pytest.raises(InvalidStatement):
            guard(condition)
