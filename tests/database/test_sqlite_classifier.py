"""What kind of statement a text is. SQLite itself is the oracle of the random ones."""

from __future__ import annotations

from contextlib import suppress

import apsw
import pytest
from buntime_database import InvalidStatement
from buntime_plugin_database.shared.statements import classify, guard_query
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.sampling import share_of

READS = [
    "SELECT 1",
    "select 1;",
    "  \n SELECT 1 ;; ",
    "VALUES (1)",
    "EXPLAIN DELETE FROM t",
    "EXPLAIN QUERY PLAN SELECT 1",
    "WITH a AS (SELECT 1) SELECT * FROM a",
    "WITH RECURSIVE a(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM a) SELECT x FROM a LIMIT 3",
    "WITH a AS (SELECT 1 AS x) SELECT replace(x, 'a', 'b') FROM a",
    "WITH a AS (SELECT replace('a', 'b', 'c') AS x) SELECT Replace (x, 'a', 'b') FROM a",
    "-- DELETE\nSELECT 1",
    "/* DELETE ; */ SELECT 1 /* ;",
    "SELECT ';' || 'it''s; COMMIT'",
    'SELECT 1 AS "a;b"',
    "SELECT 1 AS [a;b]",
    "SELECT 1 AS `a;b`",
    "SELECT $a(';')",
    "SELECT 'without an end; COMMIT",
    "SELECT [without an end; COMMIT",
    "WITH a AS (SELECT 'DELETE' AS \"INSERT\") SELECT * FROM a -- UPDATE",
    "PRAGMA table_info(t)",
    "pragma main.table_info('t')",
    "PRAGMA user_version",
    "PRAGMA main.journal_mode",
    "PRAGMA integrity_check(3)",
]
SILENT = [
    "INSERT INTO t VALUES (1)",
    "insert or replace into t values (';')",
    "REPLACE INTO t VALUES (1)",
    "UPDATE t SET x = 'RETURNING'",
    "/* SELECT */ DELETE FROM t -- RETURNING",
]
WRITES = [
    "INSERT INTO t VALUES (1) RETURNING x",
    "DELETE FROM t returning *",
    "WITH a AS (SELECT 1) INSERT INTO t SELECT * FROM a",
    "WITH a AS (SELECT 1) DELETE FROM t",
    "CREATE TABLE t (x)",
    "DROP TABLE t",
    "ALTER TABLE t ADD y",
    "ANALYZE",
    "REINDEX",
    "PRAGMA user_version = 3",
    "PRAGMA main.application_id(7)",
    "PRAGMA optimize",
    "nonsense",
]
REFUSED = [
    "",
    " \n\t ",
    ";;",
    "-- SELECT 1",
    "/* SELECT 1",
    "BEGIN",
    "begin immediate",
    "COMMIT",
    "END",
    "ROLLBACK TO x",
    "SAVEPOINT x",
    "RELEASE x",
    "ATTACH 'x' AS y",
    "DETACH y",
    "VACUUM",
    "VACUUM INTO 'x'",
    "/**/COMMIT",
    "\ufeffCOMMIT",
    ";COMMIT",
    "SELECT 1; SELECT 2",
    "SELECT 1; 'x'",
    "SELECT $a('); SELECT $b(')",
    "SELECT a$b(';'); SELECT 2",
    "PRAGMA query_only = 0",
    "PRAGMA query_only(0)",
    "PRAGMA main.synchronous=OFF",
    'PRAGMA "query_only" = user_version',
    "PRAGMA/**/journal_mode/**/=/**/delete",
    "PRAGMA foreign_keys(off)",
    "PRAGMA wal_checkpoint(TRUNCATE)",
]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        *((sql, "read") for sql in READS),
        *((sql, "silent") for sql in SILENT),
        *((sql, "write") for sql in WRITES),
    ],
)
def test_kinds(sql: str, kind: str) -> None:
    assert classify(sql) == kind


@pytest.mark.parametrize("sql", REFUSED)
def test_what_is_refused(sql: str) -> None:
    with pytest.raises(InvalidStatement):
        classify(sql)


@pytest.mark.parametrize(
    "condition", ["1); COMMIT; SELECT (1", "1); COMMIT --", "1;", "$a('); -- '"]
)
def test_a_guard_cannot_hold_a_second_statement(condition: str) -> None:
    with pytest.raises(InvalidStatement):
        guard_query(condition)


PIECES = st.sampled_from(
    [
        *";'\"`[]()$:@#?=,.-+/*\\\n\t\x0c\xa0 ",
        "--",
        "/*",
        "*/",
        "''",
        "::",
        "SELECT",
        "SELECT 1",
        "SELECT 7 ",
        "; COMMIT",
        "COMMIT",
        "ROLLBACK",
        "BEGIN",
        "SAVEPOINT a",
        "ATTACH ':memory:' AS b",
        "VALUES (1)",
        "WITH a AS (SELECT 1)",
        "PRAGMA query_only",
        "PRAGMA user_version",
        "INSERT INTO t VALUES (1)",
        "RETURNING x",
        "a$b",
        "$a(",
        ":a",
        "#a",
        "x'00'",
        "1e5",
        "é",
        "\ufeff",
        "\0",
        "😀",
    ]
)
TEXTS = st.one_of(st.lists(PIECES, max_size=12).map("".join), st.text(max_size=60))


@pytest.mark.slow
@given(TEXTS)
def test_any_text_is_classified_or_refused(sql: str) -> None:
    try:
        kind = classify(sql)
    except InvalidStatement:
        return
    assert kind in {"read", "write", "silent"}


@pytest.mark.slow
@settings(max_examples=share_of(500))
@example("\ufeffCOMMIT")
@example("SELECT $a('); COMMIT; SELECT $b(')")
@example("SELECT $a::b('); COMMIT; SELECT :b(')")
@example("SELECT 1 /*/; COMMIT; SELECT 1 /*/")
@example("SELECT [a'b]; COMMIT; SELECT 'x'")
@given(TEXTS)
def test_what_is_accepted_stays_inside_the_transaction(sql: str) -> None:
    """Whatever SQLite makes of an accepted text, it runs one statement and ends nothing."""
    try:
        kind = classify(sql)
    except InvalidStatement:
        return
    connection = apsw.Connection(":memory:")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("BEGIN IMMEDIATE")
    ran: list[str] = []

    def trace(cursor: apsw.Cursor, text: str, _: object) -> bool:
        if cursor.has_vdbe:
            ran.append(text)
            assert cursor.is_readonly or kind != "read"
        return True

    connection.exec_trace = trace
    with suppress(apsw.Error, ValueError):
        connection.execute(sql, apsw._null_bindings).fetchall()  # type: ignore[attr-defined]
    assert len(ran) <= 1
    assert connection.in_transaction
    assert connection.pragma("query_only") == 0
    assert [row[1] for row in connection.execute("PRAGMA database_list")] == ["main"]
    connection.close()


@pytest.mark.parametrize(
    "piece", ["(", "'", "'a", "\"a'", "/*", "--", "$a(", "[", ";", "a ", "'' "]
)
def test_long_texts_take_linear_time(piece: str) -> None:
    with suppress(InvalidStatement):
        classify("SELECT " + piece * 200_000)
