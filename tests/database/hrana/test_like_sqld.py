"""What libSQL's own server answers to the same requests, and that we answer the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from support.database import NO_TLS
from support.hrana import HranaHttp, stmt, value
from support.sqld import Sqld, running_sqld
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

Requests = list[dict[str, Any]]


@pytest.fixture(scope="module")
def sqld(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sqld]:
    with running_sqld(tmp_path_factory.mktemp("reference")) as (server,):
        yield server


def pipeline_of_sqld(server: Sqld, requests: Requests) -> list[Any]:
    answer = httpx2.post(
        f"{server.url}/v2/pipeline",
        json={"requests": [*requests, {"type": "close"}]},
        timeout=PATIENCE,
        verify=NO_TLS,
    )
    assert answer.status_code == 200, answer.text
    return [one.get("response", one.get("error")) for one in answer.json()["results"][:-1]]


def both(sqld: Sqld, hrana: HranaHttp, requests: Requests) -> list[tuple[Any, Any]]:
    return list(zip(pipeline_of_sqld(sqld, requests), hrana.run(*requests), strict=True))


PARAMETERS = [
    "SELECT :b, :a, ?1",
    "SELECT ?1, :a",
    "SELECT ?2, :b",
    "SELECT ?2",
    "SELECT ?, :a, ?",
    "SELECT :a, ?1, @a, $a",
    "SELECT ?3, ?1, ?2",
    "SELECT :a, :a, ?1",
    "SELECT @a, ?2, :c",
    "SELECT ?, ?1",
    "SELECT ?1, ?",
    "SELECT ?01, ?1",
    "SELECT ?5, :x, ?",
    "SELECT $a::b(c)",
    "SELECT '?1 :a', \":b\", [@c], `$d` /* ?2 :e */, :f -- :g",
]


@pytest.mark.parametrize("sql", PARAMETERS)
def test_names_of_parameters(sqld: Sqld, hrana: HranaHttp, sql: str) -> None:
    ((theirs, ours),) = both(sqld, hrana, [{"type": "describe", "sql": sql}])
    if "result" not in theirs:  # `":b"` is no column
        assert "result" not in ours
        return
    assert ours["result"]["params"] == theirs["result"]["params"]


@pytest.mark.parametrize("sql", PARAMETERS[:-2])
@pytest.mark.parametrize(
    ("args", "named"),
    [
        ([], {"a": "A", "b": "B"}),
        ([], {":a": "A", ":b": "B"}),
        ([], {"b": "B"}),
        ([], {"a": "A", "unknown": "U"}),
        ([], {":a": "A", "@a": "other", "c": "C"}),
        (["p"], {}),
        (["p", "q", "r", "s", "t", "u", "v"], {}),
        ([], {}),
    ],
)
def test_arguments(
    sqld: Sqld, hrana: HranaHttp, sql: str, args: list[str], named: dict[str, str]
) -> None:
    given = [{"name": name, "value": value(text)} for name, text in named.items()]
    request = {"type": "execute", "stmt": stmt(sql, *args, named_args=given)}
    ((theirs, ours),) = both(sqld, hrana, [request])
    unknown = any(f":{name.lstrip(':@')}" not in sql for name in named)
    if "result" in theirs and "result" not in ours:
        # It counts names without looking at all of them; to us an unknown one is a mistake.
        assert unknown, ours
        assert "has no parameter" in ours["message"]
    elif "result" in theirs:
        assert ours["result"]["rows"] == theirs["result"]["rows"]
    elif named:
        # Without names it takes positions only for parameters without one; the protocol does not
        # ask for that.
        assert ours["code"] == theirs["code"]


PLACES = ("request", "statement", "value", "batch", "step")


@pytest.mark.parametrize("place", PLACES)
def test_members_that_nobody_knows_are_passed_over(
    sqld: Sqld, hrana: HranaHttp, place: str
) -> None:
    """A client may be newer than its server: it sends `replication_index`, for example."""
    more = {wanted: {"more": 1} if wanted == place else {} for wanted in PLACES}
    statement = {"sql": "SELECT ?", "args": [{**value("x"), **more["value"]}], **more["statement"]}
    execute = {"type": "execute", "stmt": statement, **more["request"]}
    run = {
        "type": "batch",
        "batch": {"steps": [{"stmt": statement, **more["step"]}], **more["batch"]},
    }
    for theirs, ours in both(sqld, hrana, [execute, run]):
        assert ours["type"] == theirs["type"]
        for found in (theirs["result"], ours["result"]):
            (result,) = found.get("step_results", [found])
            assert result["rows"] == [[value("x")]]


STATEMENTS = [
    "INSERT OR IGNORE INTO t SELECT 1, 'x' WHERE 0",
    "INSERT INTO t VALUES (5, 'a')",
    "INSERT OR IGNORE INTO t VALUES (6, 'a')",
    "SELECT 1",
    "UPDATE t SET x = 'b'",
    "DELETE FROM t WHERE id = 99",
    "INSERT INTO t VALUES (7, 'c') RETURNING id",
    "INSERT INTO t VALUES (9, 'b') ON CONFLICT DO NOTHING",
    "INSERT INTO w VALUES (1)",
    "WITH n AS (SELECT 20, 'n') INSERT INTO t SELECT * FROM n",
    "WITH n AS (SELECT replace('a', 'a', 'b')) SELECT * FROM n",
    "REPLACE INTO t VALUES (30, 'b')",
    "CREATE TABLE more (x)",
    "DROP TABLE more",
    "/* first */ INSERT OR IGNORE INTO t VALUES (6, 'b') -- last",
]


def test_the_last_rowid(sqld: Sqld, hrana: HranaHttp) -> None:
    schema = (
        "DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS w; CREATE TABLE t (id INTEGER PRIMARY KEY, x"
        " UNIQUE); CREATE TABLE w (a PRIMARY KEY) WITHOUT ROWID"
    )
    requests: Requests = [{"type": "sequence", "sql": schema}]
    requests += [{"type": "execute", "stmt": stmt(sql)} for sql in STATEMENTS]
    for sql, (theirs, ours) in zip(STATEMENTS, both(sqld, hrana, requests)[1:], strict=True):
        counts = ("last_insert_rowid", "affected_row_count")
        for name in counts:
            assert ours["result"][name] == theirs["result"][name], (sql, name)


FAILING = [
    "INSERT INTO t VALUES (1, 'other', 1, NULL)",
    "INSERT INTO t VALUES (2, 'x', 1, NULL)",
    "INSERT INTO t VALUES (2, NULL, 1, NULL)",
    "INSERT INTO t VALUES (2, 'y', 0, NULL)",
    "INSERT INTO t VALUES (2, 'y', 1, 99)",
    "INSERT INTO t (id) VALUES ('no number')",
    "INSERT INTO strict VALUES ('no number')",
    "INSERT INTO guarded VALUES (1)",
    "",
    "SELECT 1; SELECT 2",
    "SELECT ?",
]


def test_codes_of_errors(sqld: Sqld, hrana: HranaHttp) -> None:
    schema = """
        DROP TABLE IF EXISTS t; DROP TABLE IF EXISTS strict; DROP TABLE IF EXISTS guarded;
        CREATE TABLE t (id INTEGER PRIMARY KEY, u UNIQUE NOT NULL, c CHECK (c > 0),
            p REFERENCES t (id));
        INSERT INTO t VALUES (1, 'x', 1, NULL);
        CREATE TABLE strict (a INTEGER) STRICT;
        CREATE TABLE guarded (a);
        CREATE TRIGGER guard BEFORE INSERT ON guarded BEGIN SELECT RAISE(ABORT, 'no'); END;
    """
    requests: Requests = [{"type": "sequence", "sql": schema}]
    requests += [{"type": "execute", "stmt": stmt(sql)} for sql in FAILING]
    for sql, (theirs, ours) in zip(FAILING, both(sqld, hrana, requests)[1:], strict=True):
        assert ours["code"] == theirs["code"], sql
    steps = [{"stmt": stmt(sql)} for sql in FAILING[:5]]
    ((theirs, ours),) = both(sqld, hrana, [{"type": "batch", "batch": {"steps": steps}}])
    codes = [
        [error and error["code"] for error in answer["result"]["step_errors"]]
        for answer in (theirs, ours)
    ]
    assert codes[0] == codes[1]


def test_a_statement_that_fails_as_a_whole_request(hrana: HranaHttp) -> None:
    hrana.run({"type": "sequence", "sql": "CREATE TABLE t (x UNIQUE); INSERT INTO t VALUES (1)"})
    answer = hrana.post("v1/execute", {"stmt": stmt("INSERT INTO t VALUES (1)")}, 409)
    assert answer["code"] == "SQLITE_CONSTRAINT"
