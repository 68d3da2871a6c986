"""Pipelines of the standard over HTTP."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from support.database import wait_until
from support.hrana import HranaHttp, OpenHrana, batch, execute, stmt, value

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"


def test_a_statement_and_its_exact_result(hrana: HranaHttp) -> None:
    created, inserted, selected = hrana.run(
        execute("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(10))"),
        execute("INSERT INTO t (name) VALUES (?), (?)", "a", "b"),
        execute("SELECT id, name, 1 AS one, name FROM t WHERE id > ?", 1),
    )
    assert created["result"]["affected_row_count"] == 0
    assert created["result"]["last_insert_rowid"] is None
    assert inserted["result"]["affected_row_count"] == 2
    assert inserted["result"]["last_insert_rowid"] == "2"
    result = selected["result"]
    assert selected["type"] == "execute"
    assert result["cols"] == [
        {"name": "id", "decltype": "INTEGER"},
        {"name": "name", "decltype": "VARCHAR(10)"},
        {"name": "one", "decltype": None},
        {"name": "name", "decltype": "VARCHAR(10)"},
    ]
    assert result["rows"] == [[value(2), value("b"), value(1), value("b")]]
    assert (result["rows_read"], result["rows_written"]) == (1, 0)


def test_columns_are_known_without_rows(hrana: HranaHttp) -> None:
    (found,) = hrana.run(execute("SELECT 1 AS a WHERE 0"))
    assert found["result"]["cols"] == [{"name": "a", "decltype": None}]
    assert found["result"]["rows"] == []


def test_rows_that_are_not_wanted(hrana: HranaHttp) -> None:
    _, inserted, _ = hrana.run(
        execute("CREATE TABLE t (x)"),
        execute("INSERT INTO t VALUES (1), (2) RETURNING x", want_rows=False),
        execute("SELECT 1"),
    )
    assert inserted["result"]["rows"] == []
    assert hrana.rows("SELECT count(*) FROM t") == [[2]]


@pytest.mark.parametrize(
    ("sql", "args", "named", "expected"),
    [
        ("SELECT ?, ?", ["a", "b"], {}, ["a", "b"]),
        ("SELECT ?2, ?1", ["a", "b"], {}, ["b", "a"]),
        ("SELECT :a, @b, $c", [], {"a": 1, "b": 2, "c": 3}, [1, 2, 3]),
        ("SELECT :a, @b, $c", [], {":a": 1, "@b": 2, "$c": 3}, [1, 2, 3]),
        ("SELECT :a, :b", ["x", "y"], {"b": "named"}, ["x", "named"]),
        ("SELECT ':a', :b -- :c\n", [], {"b": 1}, [":a", 1]),
        ("SELECT ?, :a", ["x"], {"a": "y"}, ["x", "y"]),
    ],
)
def test_arguments(
    hrana: HranaHttp, sql: str, args: list[Any], named: dict[str, Any], expected: list[Any]
) -> None:
    named_args = [{"name": name, "value": value(plain)} for name, plain in named.items()]
    (found,) = hrana.run(execute(sql, *args, named_args=named_args))
    assert found["result"]["rows"] == [[value(plain) for plain in expected]]


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ({"sql": ""}, "SQL_NO_STATEMENT"),
        ({"sql": " -- nothing\n ;"}, "SQL_NO_STATEMENT"),
        ({"sql": "SELECT 1; SELECT 2"}, "SQL_MANY_STATEMENTS"),
        ({}, "MISSING_SQL"),
        ({"sql": "SELECT 1", "sql_id": 1}, "SQL_INPUT_ERROR"),
        ({"sql_id": 1}, "SQL_NOT_FOUND"),
        ({"sql": "SELECT nonsense"}, "SQLITE_ERROR"),
        ({"sql": "SELEC 1"}, "SQLITE_ERROR"),
        ({"sql": "SELECT ?"}, "ARGS_INVALID"),
        ({"sql": "SELECT 1", "args": [value(1)]}, "ARGS_INVALID"),
        ({"sql": "SELECT :a", "named_args": [{"name": "b", "value": value(1)}]}, "ARGS_INVALID"),
        ({"sql": "SELECT 9e999"}, "HRANA_INVALID_VALUE"),
        ({"sql": "SELECT ?", "args": [{"type": "blob", "base64": "!"}]}, "HRANA_INVALID_VALUE"),
        ({"sql": "ATTACH 'x.db' AS x"}, "SQLITE_AUTH"),
        ({"sql": "DETACH main"}, "SQLITE_AUTH"),
        ({"sql": "VACUUM INTO 'x.db'"}, "SQLITE_AUTH"),
        ({"sql": "SELECT load_extension('x')"}, "SQLITE_ERROR"),
        ({"sql": "PRAGMA writable_schema = ON"}, "SQLITE_AUTH"),
        ({"sql": "PRAGMA locking_mode = EXCLUSIVE"}, "SQLITE_AUTH"),
        ({"sql": "COMMIT"}, "SQLITE_ERROR"),
    ],
)
def test_a_statement_that_is_refused(
    hrana: HranaHttp, statement: dict[str, Any], code: str
) -> None:
    error, after = hrana.run({"type": "execute", "stmt": statement}, execute("SELECT 1"))
    assert error["code"] == code
    assert error["message"]
    assert after["result"]["rows"] == [[value(1)]]


def test_trailing_blanks_and_comments_are_no_second_statement(hrana: HranaHttp) -> None:
    assert hrana.rows("SELECT 1; -- one\n /* and no more */ ;") == [[1]]


def test_plain_vacuum_is_allowed(hrana: HranaHttp) -> None:
    (found,) = hrana.run(execute("VACUUM"))
    assert "result" in found


def test_constraint_errors_have_exact_names(hrana: HranaHttp) -> None:
    hrana.run(
        {
            "type": "sequence",
            "sql": "CREATE TABLE p (id INTEGER PRIMARY KEY);"
            "CREATE TABLE t (id TEXT PRIMARY KEY, u UNIQUE, n NOT NULL, c CHECK (c > 0), "
            "p REFERENCES p (id)) WITHOUT ROWID;"
            "INSERT INTO t VALUES ('a', 1, 1, 1, NULL);",
        }
    )
    insert = "INSERT INTO t (id, u, n, c, p) VALUES "
    for values, name in (
        ("('a', 2, 1, 1, NULL)", "PRIMARYKEY"),
        ("('b', 1, 1, 1, NULL)", "UNIQUE"),
        ("('b', 2, NULL, 1, NULL)", "NOTNULL"),
        ("('b', 2, 1, 0, NULL)", "CHECK"),
        ("('b', 2, 1, 1, 7)", "FOREIGNKEY"),
    ):
        (error,) = hrana.run(execute(insert + values))
        assert error["code"] == "SQLITE_CONSTRAINT"
        assert error["extended_code"] == f"SQLITE_CONSTRAINT_{name}"


def test_a_baton_is_good_once(hrana: HranaHttp) -> None:
    _, first = hrana.pipeline(execute("SELECT 1"))
    assert first is not None
    _, second = hrana.pipeline(execute("SELECT 1"), baton=first)
    assert second not in (None, first)
    for used in (first, "nonsense", "", second[:-1] + "_" if second else ""):
        error = hrana.post("v3/pipeline", {"baton": used, "requests": []}, 400)
        assert error["code"] == "BATON_INVALID"
        assert error["message"] == error["error"]
    (closed,), none = hrana.pipeline({"type": "close"}, baton=second)
    assert (closed, none) == ({"type": "close"}, None)
    gone = hrana.post("v3/pipeline", {"baton": second, "requests": []}, 400)
    assert gone["code"] == "STREAM_EXPIRED"


def test_a_baton_is_for_one_database(hrana: HranaHttp, open_hrana: OpenHrana) -> None:
    _, baton = hrana.pipeline(execute("CREATE TABLE t (x)"))
    other = open_hrana()
    error = other.post("v3/pipeline", {"baton": baton, "requests": []}, 400)
    assert error["code"] == "BATON_INVALID"
    hrana.run(baton=baton)


def test_an_empty_pipeline_opens_a_stream(hrana: HranaHttp) -> None:
    results, baton = hrana.pipeline()
    assert results == []
    assert baton is not None
    hrana.run(baton=baton)


def test_nothing_is_served_after_close(hrana: HranaHttp) -> None:
    (closed, error), baton = hrana.pipeline({"type": "close"}, execute("SELECT 1"))
    assert closed == {"type": "close"}
    assert error["code"] == "STREAM_EXPIRED"
    assert baton is None


def test_a_transaction_across_requests(hrana: HranaHttp, open_hrana: OpenHrana) -> None:
    other = open_hrana(hrana.tenant)
    hrana.run(execute("CREATE TABLE t (x)"))
    auto = {"type": "get_autocommit"}
    (before, _, begun), baton = hrana.pipeline(auto, execute("BEGIN"), auto)
    assert before == {"type": "get_autocommit", "is_autocommit": True}
    assert begun == {"type": "get_autocommit", "is_autocommit": False}
    _, baton = hrana.pipeline(execute("INSERT INTO t VALUES (1)"), baton=baton)
    assert other.rows("SELECT * FROM t") == []
    (_, after), baton = hrana.pipeline(execute("COMMIT"), auto, baton=baton)
    assert after["is_autocommit"] is True
    assert other.rows("SELECT * FROM t") == [[1]]
    hrana.run(baton=baton)


def test_closing_rolls_back(hrana: HranaHttp) -> None:
    hrana.run(execute("CREATE TABLE t (x)"))
    hrana.run(execute("BEGIN"), execute("INSERT INTO t VALUES (1)"))
    assert hrana.rows("SELECT * FROM t") == []


@pytest.mark.slow
def test_an_idle_stream_expires_and_rolls_back(hrana: HranaHttp) -> None:
    hrana.run(execute("CREATE TABLE t (x)"))
    _, baton = hrana.pipeline(execute("BEGIN"), execute("SELECT * FROM t"))

    def expired() -> bool:
        # Asking with a wrong tenant tells whether the stream lives, without using it.
        body: dict[str, Any] = {"baton": baton, "requests": []}
        answer = hrana.client.post(
            f"{hrana.base}/v3/pipeline", json=body, headers={"x-database-namespace": "other"}
        )
        return bool(answer.json()["code"] == "STREAM_EXPIRED")

    assert not expired()
    wait_until(expired)
    error = hrana.post("v3/pipeline", {"baton": baton, "requests": []}, 400)
    assert error["code"] == "STREAM_EXPIRED"


@pytest.mark.slow
def test_a_transaction_that_keeps_the_lock_is_rolled_back(
    hrana: HranaHttp, open_hrana: OpenHrana
) -> None:
    hrana.run(execute("CREATE TABLE t (x)"))
    insert = execute("INSERT INTO t VALUES (1)")
    _, baton = hrana.pipeline(execute("BEGIN IMMEDIATE"), insert)
    other = open_hrana(hrana.tenant)
    (written,) = other.run(execute("INSERT INTO t VALUES (2)"))
    assert written["result"]["affected_row_count"] == 1  # it waited for the lock
    (lost, still, commit, undone, after), baton = hrana.pipeline(
        insert, insert, execute("COMMIT"), execute("ROLLBACK"), insert, baton=baton
    )
    assert {lost["code"], still["code"], commit["code"]} == {"TRANSACTION_TIMEOUT"}
    assert undone["type"] == after["type"] == "execute"
    hrana.run(baton=baton)
    assert hrana.rows("SELECT x FROM t ORDER BY x") == [[1], [2]]


@pytest.mark.slow
def test_a_statement_that_takes_too_long(hrana: HranaHttp) -> None:
    error, after = hrana.run(execute(ENDLESS), execute("SELECT 1"))
    assert error["code"] == "STATEMENT_TIMEOUT"
    assert "result" in after


@pytest.mark.slow
def test_a_timeout_that_ends_a_transaction_is_not_passed_over(hrana: HranaHttp) -> None:
    hrana.run(execute("CREATE TABLE t (x)"))
    results = hrana.run(
        execute("BEGIN IMMEDIATE"),
        execute("INSERT INTO t VALUES (1)"),
        execute(f"INSERT INTO t {ENDLESS}"),
        execute("INSERT INTO t VALUES (2)"),
        execute("COMMIT"),
    )
    assert [result.get("code") for result in results[2:]] == ["TRANSACTION_TIMEOUT"] * 3
    assert hrana.rows("SELECT * FROM t") == []


def test_a_result_that_is_too_large(hrana: HranaHttp) -> None:
    error, after = hrana.run(execute("SELECT randomblob(200000)"), execute("SELECT 1"))
    assert error["code"] == "RESPONSE_TOO_LARGE"
    assert "result" in after


def test_results_that_are_too_large_together(hrana: HranaHttp) -> None:
    half = "SELECT randomblob(60000)"
    results = hrana.run(execute(half), execute(half), execute("SELECT 1"))
    assert [result.get("code") for result in results] == [None, None, "RESPONSE_TOO_LARGE"]
    (found,) = hrana.run({"type": "batch", "batch": batch(*[(None, half)] * 5)})
    failed = [error is not None for error in found["result"]["step_errors"]]
    assert failed == [False, False, True, True, True]


def test_only_so_many_streams(hrana: HranaHttp) -> None:
    batons = []
    while True:
        answer = hrana.client.post(f"{hrana.base}/v3/pipeline", json={"requests": []})
        if answer.status_code != httpx2.codes.OK:
            break
        batons.append(answer.json()["baton"])
    assert answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE
    assert answer.json()["code"] == "TOO_MANY_STREAMS"
    assert 0 < len(batons) <= 20
    for baton in batons:
        hrana.run(baton=baton)
    assert hrana.rows("SELECT 1") == [[1]]


def test_a_sequence_is_split_by_the_database(hrana: HranaHttp) -> None:
    script = """
        CREATE TABLE t (x); -- one; two
        CREATE TRIGGER tr AFTER INSERT ON t BEGIN SELECT 1; SELECT 2; END;
        INSERT INTO t VALUES ('a;b'); /* ; */ INSERT INTO t VALUES ("c")
    """
    script = script.replace('"c"', "'c'")
    (done,) = hrana.run({"type": "sequence", "sql": script})
    assert done == {"type": "sequence"}
    assert hrana.rows("SELECT x FROM t") == [["a;b"], ["c"]]
    empty, failed = hrana.run(
        {"type": "sequence", "sql": ""},
        {"type": "sequence", "sql": "DELETE FROM t; SELECT nonsense; SELECT 1"},
    )
    assert empty == {"type": "sequence"}
    assert failed["code"] == "SQLITE_ERROR"
    assert hrana.rows("SELECT x FROM t") == []


def test_describe(hrana: HranaHttp) -> None:
    hrana.run(execute("CREATE TABLE t (id INTEGER, b BLOB)"))
    select, insert, explain, bad, many = hrana.run(
        {"type": "describe", "sql": "SELECT id, b, 1 + ? FROM t WHERE id = :id AND b = @b"},
        {"type": "describe", "sql": "INSERT INTO t VALUES (?, ?2)"},
        {"type": "describe", "sql": "EXPLAIN SELECT 1"},
        {"type": "describe", "sql": "SELECT nonsense"},
        {"type": "describe", "sql": "SELECT 1; SELECT 2"},
    )
    assert select["result"] == {
        "params": [{"name": None}, {"name": ":id"}, {"name": "@b"}],
        "cols": [
            {"name": "id", "decltype": "INTEGER"},
            {"name": "b", "decltype": "BLOB"},
            {"name": "1 + ?", "decltype": None},
        ],
        "is_explain": False,
        "is_readonly": True,
    }
    assert insert["result"]["params"] == [{"name": None}, {"name": "?2"}]
    assert insert["result"]["is_readonly"] is False
    assert explain["result"]["is_explain"] is True
    assert (bad["code"], many["code"]) == ("SQLITE_ERROR", "SQL_MANY_STATEMENTS")
    assert hrana.rows("SELECT count(*) FROM t") == [[0]]


def test_stored_sql(hrana: HranaHttp) -> None:
    stored, found, again, closed, missing = hrana.run(
        {"type": "store_sql", "sql_id": 7, "sql": "SELECT 42"},
        {"type": "execute", "stmt": {"sql_id": 7}},
        {"type": "store_sql", "sql_id": 7, "sql": "SELECT 43"},
        {"type": "close_sql", "sql_id": 7},
        {"type": "execute", "stmt": {"sql_id": 7}},
    )
    assert stored == {"type": "store_sql"}
    assert found["result"]["rows"] == [[value(42)]]
    assert again["code"] == "SQL_STORE_EXISTS"
    assert closed == {"type": "close_sql"}
    assert missing["code"] == "SQL_NOT_FOUND"


def test_stored_sql_survives_the_request_and_has_limits(hrana: HranaHttp) -> None:
    stores = [{"type": "store_sql", "sql_id": n, "sql": "SELECT 1"} for n in range(51)]
    results, baton = hrana.pipeline(*stores)
    assert [result.get("code") for result in results[:50]] == [None] * 50
    assert results[50]["code"] == "SQL_STORE_TOO_MANY"
    described, sequence, large = hrana.run(
        {"type": "describe", "sql_id": 3},
        {"type": "sequence", "sql_id": 3},
        {"type": "store_sql", "sql_id": 99, "sql": "x" * 6000},
        baton=baton,
    )
    assert described["result"]["is_readonly"] is True
    assert sequence == {"type": "sequence"}
    assert large["code"] in ("SQL_STORE_TOO_LARGE", "SQL_STORE_TOO_MANY")


def test_a_batch_with_conditions(hrana: HranaHttp) -> None:
    (response,) = hrana.run(
        {
            "type": "batch",
            "batch": batch(
                (None, "CREATE TABLE t (x)"),
                ({"type": "ok", "step": 0}, "INSERT INTO t VALUES (1)"),
                ({"type": "error", "step": 0}, "INSERT INTO t VALUES (2)"),
                (None, "SELECT nonsense"),
                ({"type": "error", "step": 3}, "INSERT INTO t VALUES (3)"),
                ({"type": "not", "cond": {"type": "ok", "step": 2}}, "INSERT INTO t VALUES (4)"),
                ({"type": "ok", "step": 2}, "INSERT INTO t VALUES (5)"),
                ({"type": "is_autocommit"}, "INSERT INTO t VALUES (6)"),
            ),
        }
    )
    result = response["result"]
    ran = [step is not None for step in result["step_results"]]
    failed = [step is not None for step in result["step_errors"]]
    assert ran == [True, True, False, False, True, True, False, True]
    assert failed == [False, False, False, True, False, False, False, False]
    assert hrana.rows("SELECT x FROM t") == [[1], [3], [4], [6]]


def test_a_batch_as_one_transaction(hrana: HranaHttp) -> None:
    hrana.run(execute("CREATE TABLE t (x UNIQUE)"))

    def atomic(*statements: str) -> dict[str, Any]:
        steps: list[tuple[Any, str]] = [(None, "BEGIN")]
        for statement in statements:
            steps.append(({"type": "ok", "step": len(steps) - 1}, statement))
        steps.append(({"type": "ok", "step": len(steps) - 1}, "COMMIT"))
        commit = {"type": "ok", "step": len(steps) - 1}
        steps.append(({"type": "not", "cond": commit}, "ROLLBACK"))
        return {"type": "batch", "batch": batch(*steps)}

    bad, good = hrana.run(
        atomic("INSERT INTO t VALUES (1)", "INSERT INTO t VALUES (1)"),
        atomic("INSERT INTO t VALUES (7)", "INSERT INTO t VALUES (8)"),
    )
    assert bad["result"]["step_errors"][2]["code"] == "SQLITE_CONSTRAINT"
    assert good["result"]["step_errors"] == [None] * 5
    assert hrana.rows("SELECT x FROM t") == [[7], [8]]


@pytest.mark.parametrize(
    "body",
    [
        "",
        "[]",
        "{",
        '{"requests": 1}',
        '{"requests": [{"type": "nonsense"}]}',
        '{"requests": [{"type": "execute"}]}',
        '{"requests": [{"type": "execute", "stmt": {"sql": "SELECT ?", "args": [1]}}]}',
        '{"requests": [{"type": "sequence", "sql": "SELECT 1", "sql_id": "one"}]}',
        '{"requests": [{"type": "execute", "stmt": {"sql": "", "args": [{"type": "bool"}]}}]}',
    ],
)
def test_a_body_that_is_not_of_the_protocol(hrana: HranaHttp, body: str) -> None:
    assert hrana.post("v2/pipeline", body, 400)["code"] == "HRANA_PROTO_ERROR"


def test_versions(hrana: HranaHttp) -> None:
    for path, status in (("v2", 200), ("v3", 200), ("v3-protobuf", 404)):
        assert hrana.client.get(f"{hrana.base}/{path}").status_code == status
    results, _ = hrana.pipeline(execute("SELECT 1"), {"type": "close"}, version="v2")
    assert results[0]["result"]["rows"] == [[value(1)]]


def test_version_one_is_stateless(hrana: HranaHttp) -> None:
    found = hrana.post("v1/execute", {"stmt": stmt("SELECT ?", 1)})
    assert found["result"]["rows"] == [[value(1)]]
    steps = batch((None, "CREATE TABLE t (x)"), (None, "INSERT INTO t VALUES (1)"))
    assert hrana.post("v1/batch", {"batch": steps})["result"]["step_errors"] == [None, None]
    error = hrana.post("v1/execute", {"stmt": stmt("SELECT nonsense")}, 400)
    assert (error["code"], error["message"]) == ("SQLITE_ERROR", "no such column: nonsense")


def test_a_tenant_in_the_path(hrana: HranaHttp) -> None:
    hrana.run(execute("CREATE TABLE only_here (x)"))
    path = f"dev/{hrana.tenant}/v2/pipeline"
    answer = httpx2.post(
        f"{hrana.base}/{path}",
        json={"requests": [execute("SELECT count(*) FROM only_here"), {"type": "close"}]},
    ).json()
    assert answer["results"][0]["response"]["result"]["rows"] == [[value(0)]]
    bad = httpx2.post(f"{hrana.base}/dev/_default/v2/pipeline", json={"requests": []})
    assert (bad.status_code, bad.json()["code"]) == (400, "INVALID_TENANT")
