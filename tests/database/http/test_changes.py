"""Rows that somebody has edited: all of it is written, or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from support.database import Api


@pytest.fixture
def filled(api: Api) -> Api:
    """Tables with a key, with one of two columns, and without any."""
    statements = [
        "CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
        "CREATE TABLE pairs (a TEXT, b INTEGER, c, PRIMARY KEY (a, b)) WITHOUT ROWID",
        "CREATE TABLE plain (x, rowid)",
        "CREATE VIEW v AS SELECT name FROM t",
        "INSERT INTO t (name) VALUES ('a'), ('b'), ('c')",
        "INSERT INTO pairs VALUES ('a', 1, NULL), ('a', 2, '')",
        "INSERT INTO plain VALUES (1, 'hidden'), (1, 'hidden')",
    ]
    api.post("batch", {"statements": [{"sql": sql} for sql in statements]})
    return api


def names(api: Api) -> list[Any]:
    return [name for (name,) in api.rows("SELECT name FROM t ORDER BY id")]


def test_all_kinds_at_once(filled: Api) -> None:
    body = {
        "insert": [{"name": "x'y"}, {}],
        "update": [{"where": {"id": 1, "name": "a"}, "set": {"name": "c"}}],
        "delete": [{"where": {"id": 3}}],
    }
    assert filled.post("tables/t/changes", body) == {"ok": True, "rowsAffected": 4}
    assert names(filled) == ["c", "b", "x'y", None]


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ({"update": [{"where": {"id": 2, "name": "seen"}, "set": {"name": "z"}}]},
         "ROW_CHANGED", "update[0]: the row is gone, or is not as it was any more"),
        ({"delete": [{"where": {"id": 9}}]},
         "ROW_CHANGED", "delete[0]: the row is gone, or is not as it was any more"),
        ({"delete": [{"where": {"id": {"gt": 1}}}]},
         "ROW_CHANGED", "delete[0]: where means 2 rows, and not one"),
        ({"insert": [{"name": "b"}]}, "SQLITE_CONSTRAINT_UNIQUE", "UNIQUE"),
    ],
)  # fmt: skip
def test_one_that_does_not_fit_undoes_all(
    filled: Api, body: dict[str, Any], code: str, text: str
) -> None:
    fits = {"where": {"id": 1}, "set": {"name": "new"}}
    whole = {**body, "update": [*body.get("update", ()), fits]}
    error = filled.post("tables/t/changes", whole, 409)
    assert error["code"] == code
    assert text in error["error"]
    assert names(filled) == ["a", "b", "c"]


def test_keys_of_several_columns(filled: Api) -> None:
    key = {"a": "a", "b": 2}
    body = {"update": [{"where": {**key, "c": ""}, "set": {"c": None, "b": 3}}]}
    assert filled.post("tables/pairs/changes", body)["rowsAffected"] == 1
    assert filled.rows("SELECT * FROM pairs ORDER BY b") == [["a", 1, None], ["a", 3, None]]
    # NULL is no empty text.
    body = {"update": [{"where": {"a": "a", "b": 1, "c": ""}, "set": {"c": "x"}}]}
    filled.post("tables/pairs/changes", body, 409)


def test_rows_without_a_key_have_a_place(filled: Api) -> None:
    found = filled.get("tables/plain/rows?rowid=true")
    assert [column["name"] for column in found["columns"]] == ["$rowid", "x", "rowid"]
    first, second = (row["$rowid"] for row in found["rows"])
    assert first != second
    body = {
        "update": [{"where": {"$rowid": first, "x": 1}, "set": {"x": 2}}],
        "delete": [{"where": {"$rowid": second}}],
    }
    assert filled.post("tables/plain/changes", body)["rowsAffected"] == 2
    assert filled.rows("SELECT * FROM plain") == [[2, "hidden"]]
    for table in ("t", "pairs", "v"):
        rows = filled.get(f"tables/{table}/rows?rowid=true")["rows"]
        assert all("$rowid" not in row for row in rows)
    body = {"delete": [{"where": {"$rowid": 1}}]}
    assert filled.post("tables/t/changes", body, 400)["code"] == "COLUMN_NOT_FOUND"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Give at least one row"),
        ({"update": [{"where": {}, "set": {"name": "x"}}]}, "update[0]: where must name"),
        ({"update": [{"where": {"id": 1}, "set": {}}]}, "update[0]: give at least one column"),
        ({"delete": [{"where": {"nothing": 1}}]}, "Column not found: nothing"),
        ({"insert": [{"nothing": 1}]}, "Column not found: nothing"),
        ({"insert": [{"name": [1]}]}, "not a value for SQL"),
        ({"insret": [{}]}, "insret"),
        ({"update": [{"where": {"id": 1}, "sett": {}}]}, "sett"),
        ({"insert": [{}] * 1001}, "Too many changes: 1001 (max 1000)"),
    ],
)
def test_what_is_refused(filled: Api, body: dict[str, Any], text: str) -> None:
    assert text in filled.post("tables/t/changes", body, 400)["error"]
    assert names(filled) == ["a", "b", "c"]


def test_an_unknown_table(filled: Api) -> None:
    error = filled.post("tables/T/changes", {"insert": [{}]}, 404)
    assert error["code"] == "TABLE_NOT_FOUND"


def test_how_adapters_are(filled: Api) -> None:
    told = filled.get("adapters?details=true")
    (detail,) = told["details"]
    assert (told["write"], detail["type"], detail["problem"]) == (True, "sqlite", None)
    assert detail["latencyMs"] >= 0
    assert detail["sizeBytes"] > 0
    assert "details" not in filled.get("adapters")
