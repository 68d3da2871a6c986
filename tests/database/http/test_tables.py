"""Tables, their schemas and rows: names are looked up, values are bound."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from support.database import Api

HOSTILE = ["x'; DROP TABLE t; --", 'x"; DROP TABLE t; --', "sqlite_schema", "T", "t ", "ä", "%27"]
NASTY = 'na"me; DROP TABLE t'


@pytest.fixture
def filled(api: Api) -> Api:
    """A database with a table of five rows."""
    statements = [
        "CREATE TABLE p (id INTEGER PRIMARY KEY)",
        """CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT NOT NULL DEFAULT 'none', b BLOB,
             p REFERENCES p (id) ON DELETE CASCADE)""",
        "CREATE UNIQUE INDEX t_name ON t (name, b)",
        "CREATE VIEW v AS SELECT name FROM t",
        "INSERT INTO t (name) VALUES ('a'), ('b'), ('c'), ('d'), ('e')",
    ]
    api.post("batch", {"statements": [{"sql": sql} for sql in statements]})
    return api


def test_the_list(filled: Api) -> None:
    filled.sql("CREATE VIRTUAL TABLE f USING fts5(x)")
    assert filled.get("tables") == {
        "tables": [
            {"name": "f", "type": "table"},
            {"name": "p", "type": "table"},
            {"name": "t", "type": "table"},
            {"name": "v", "type": "view"},
        ],
        "type": "sqlite",
    }
    counts = {t["name"]: t["rowCount"] for t in filled.get("tables?counts=true")["tables"]}
    assert counts == {"f": 0, "p": 0, "t": 5, "v": 5}


def test_a_schema(filled: Api) -> None:
    found = filled.get("tables/t/schema")
    assert (found["table"], found["type"]) == ("t", "sqlite")
    assert found["columns"][:2] == [
        {
            "name": "id",
            "type": "INTEGER",
            "nullable": True,
            "pk": True,
            "pkIndex": 1,
            "default": None,
        },
        {
            "name": "name",
            "type": "TEXT",
            "nullable": False,
            "pk": False,
            "pkIndex": 0,
            "default": "'none'",
        },
    ]
    assert found["indexes"] == [
        {"name": "t_name", "unique": True, "origin": "c", "columns": ["name", "b"]}
    ]
    assert found["foreignKeys"] == [
        {
            "id": 0,
            "column": "p",
            "table": "p",
            "to": "id",
            "onUpdate": "NO ACTION",
            "onDelete": "CASCADE",
        }
    ]
    assert found["sql"].startswith("CREATE TABLE t")


def test_every_column_of_a_composite_key(api: Api) -> None:
    api.sql("CREATE TABLE t (a, b, c, PRIMARY KEY (c, a)) WITHOUT ROWID")
    columns = api.get("tables/t/schema")["columns"]
    assert [(c["name"], c["pkIndex"]) for c in columns] == [("a", 2), ("b", 0), ("c", 1)]


def names(api: Api, table: str = "t", **query: Any) -> list[str]:
    found = api.get(f"tables/{table}/rows?{urlencode(query)}")
    return [row["name"] for row in found["rows"]]


def test_pages_of_rows(filled: Api) -> None:
    found = filled.get("tables/t/rows?limit=2&offset=1")
    assert [row["name"] for row in found["rows"]] == ["b", "c"]
    assert {key: found[key] for key in ("limit", "offset", "table", "total")} == {
        "limit": 2,
        "offset": 1,
        "table": "t",
        "total": 5,
    }
    assert [column["name"] for column in found["columns"]] == ["id", "name", "b", "p"]
    assert filled.get("tables/t/rows")["limit"] == 100
    assert filled.get("tables/t/rows?limit=5000")["limit"] == 1000
    assert names(filled, limit=0) == []
    assert names(filled, "v", limit=1) == ["a"]


def test_order_and_filter(filled: Api) -> None:
    assert names(filled, orderBy="name", dir="desc") == ["e", "d", "c", "b", "a"]
    assert names(filled, filter='{"name": "b"}') == ["b"]
    assert names(filled, filter='{"id": {"gt": 2, "lte": 4}}') == ["c", "d"]
    assert names(filled, filter='{"b": null, "name": {"like": "D"}}') == ["d"]
    assert names(filled, filter='{"name": "x\' OR 1 = 1 --"}') == []
    found = filled.get("tables/t/rows?filter=" + quote('{"id": {"gte": 4}}'))
    assert found["total"] == 2


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "-1"},
        {"offset": "-1"},
        {"limit": "1; DROP TABLE t"},
        {"orderBy": "name; DROP TABLE t"},
        {"orderBy": "1"},
        {"orderBy": "name", "dir": "asc; DROP TABLE t"},
        {"filter": "nonsense"},
        {"filter": '["name"]'},
        {"filter": json.dumps({"name\" = '' OR 1 --": 1})},
        {"filter": '{"name": {"= 1 OR": 1}}'},
        {"filter": '{"name": [1]}'},
    ],
)
def test_queries_that_are_refused(filled: Api, query: dict[str, str]) -> None:
    filled.get(f"tables/t/rows?{urlencode(query)}", 400)
    assert len(names(filled)) == 5


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_that_is_no_table(filled: Api, name: str) -> None:
    for path in (f"tables/{quote(name)}/schema", f"tables/{quote(name)}/rows"):
        assert filled.get(path, 404)["code"] == "TABLE_NOT_FOUND"
    filled.post(f"tables/{quote(name)}/rows", {"row": {"name": "x"}}, 404)
    assert len(names(filled)) == 5


def test_a_table_with_a_nasty_name(filled: Api) -> None:
    quoted = '"' + NASTY.replace('"', '""') + '"'
    filled.sql(f"CREATE TABLE {quoted} ({quoted} TEXT)")
    path = f"tables/{quote(NASTY)}"
    row = {NASTY: "it's"}
    assert filled.post(f"{path}/rows", {"row": row}, 201)["rows"] == [row]
    by = urlencode({"orderBy": NASTY, "filter": json.dumps(row)})
    assert filled.get(f"{path}/rows?{by}")["rows"] == [row]
    changed = filled.call("PATCH", f"{path}/rows", {"where": row, "set": {NASTY: "new"}})
    assert changed["rowsAffected"] == 1
    assert filled.get(f"{path}/schema")["columns"][0]["name"] == NASTY
    assert len(names(filled)) == 5


def test_blobs_of_rows(filled: Api) -> None:
    filled.sql("UPDATE t SET b = x'4142' WHERE name = 'a'")
    assert filled.get("tables/t/rows?limit=1")["rows"][0]["b"] == {"$blob": "QUI="}
    assert filled.get("tables/t/rows?limit=1&blob=text")["rows"][0]["b"] == "AB"
    where = {"b": {"$blob": "QUI="}}
    assert filled.call("DELETE", "tables/t/rows", {"where": where})["rowsAffected"] == 1


def test_writing_rows(filled: Api) -> None:
    added = filled.post("tables/t/rows", {"row": {"name": "x'y"}}, 201)
    assert added["rows"] == [{"id": 6, "name": "x'y", "b": None, "p": None}]
    assert filled.post("tables/t/rows", {"row": {}}, 201)["rows"][0]["name"] == "none"
    many = filled.post("tables/t/rows", {"rows": [{"name": "y"}, {"id": 99}]}, 201)
    assert [row["id"] for row in many["rows"]] == [8, 99]
    body = {"where": {"id": {"gte": 8}}, "set": {"name": "z", "b": 1}}
    error = filled.call("PATCH", "tables/t/rows", body, 409)
    assert error["code"] == "SQLITE_CONSTRAINT_UNIQUE"
    body["set"] = {"b": 1}
    assert filled.call("PATCH", "tables/t/rows", body) == {"ok": True, "rowsAffected": 2}
    gone = filled.call("DELETE", "tables/t/rows", {"where": {"id": {"gt": 5}}})
    assert gone == {"ok": True, "rowsAffected": 4}
    assert names(filled) == ["a", "b", "c", "d", "e"]


def test_several_rows_are_written_together_or_not_at_all(filled: Api) -> None:
    rows = [{"name": "new"}, {"id": 1}]
    assert filled.post("tables/t/rows", {"rows": rows}, 409)["code"].startswith("SQLITE_")
    assert len(names(filled)) == 5


@pytest.mark.parametrize(
    ("method", "body"),
    [
        ("POST", {}),
        ("POST", {"rows": []}),
        ("POST", {"row": {"nothing": 1}}),
        ("POST", {"row": {"name": [1]}}),
        ("PATCH", {"where": {}, "set": {"name": "x"}}),
        ("PATCH", {"where": {"id": 1}, "set": {}}),
        ("PATCH", {"where": {"id": 1}, "set": {"name = 'x' --": 1}}),
        ("PATCH", {"set": {"name": "x"}}),
        ("DELETE", {}),
        ("DELETE", {"where": {}}),
        ("DELETE", {"where": {"1 = 1 --": 1}}),
    ],
)
def test_writes_that_are_refused(filled: Api, method: str, body: dict[str, Any]) -> None:
    filled.call(method, "tables/t/rows", body, 400)
    assert names(filled) == ["a", "b", "c", "d", "e"]


def test_a_method_that_is_not_served(filled: Api) -> None:
    assert filled.call("PUT", "tables/t/rows", {}, 405)["code"] == "METHOD_NOT_ALLOWED"
    assert filled.get("nothing", 404)["code"] == "NOT_FOUND"
