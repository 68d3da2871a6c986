"""Bodies that hold more statements, arguments or values than a request may."""

from __future__ import annotations

from typing import Any

import pytest
from support.database import Api

STATEMENT = {"sql": "SELECT 1"}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("execute", {"sql": "SELECT 1", "args": [1] * 600_000}, "more than 500000 values"),
        ("query", {"sql": "SELECT 1", "args": [[]] * 600_000}, "more than 500000 values"),
        ("execute", {"sql": "SELECT 1", "args": [1] * 32_767}, "A statement has 32767 arguments"),
        ("batch", {"statements": [STATEMENT] * 10_001}, "10001 statements in one request"),
        ("batch", {"statements": [{**STATEMENT, "args": [1] * 32_767}]}, "32767 arguments"),
        ("tables/t/rows", {"rows": [{"a": 1}] * 10_001}, "10001 statements in one request"),
    ],
)
def test_what_is_too_much_is_refused(api: Api, path: str, body: Any, message: str) -> None:
    api.sql("CREATE TABLE t (a)")
    error = api.post(path, body, 413)
    assert message in error["error"]
    assert error["code"] == "TOO_MANY_VALUES"


def test_as_much_as_there_may_be(api: Api) -> None:
    api.sql("CREATE TABLE t (a)")
    insert = {"sql": "INSERT INTO t VALUES (?)", "args": [1]}
    api.post("batch", {"statements": [insert] * 200})
    api.post("tables/t/rows", {"rows": [{"a": 2}] * 200}, 201)
    assert api.rows("SELECT a, count(*) FROM t GROUP BY a") == [[1, 200], [2, 200]]
    places = ",".join("?" * 32_766)
    assert api.rows(f"SELECT count(*) FROM t WHERE a IN ({places})", *[1] * 32_766) == [[200]]


def test_the_wrong_one_of_many_statements_is_named(api: Api) -> None:
    statements = [*[STATEMENT] * 150, {"sql": "SELECT ?", "args": [[]]}]
    error = api.post("batch", {"statements": statements}, 400)
    assert error["error"].startswith("statement 150: not a value for SQL")
