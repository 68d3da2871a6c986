"""Filters on every route that takes one, and the mistakes of SQL-built filters."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "odd", "libsql")

ATTACKS = [
    "') OR 1=1 --",
    "a') IS NULL OR ('1'='1",
    "a' OR '1'='1",
    "x'); DELETE FROM kv_entries; --",
    'a") OR 1=1 --',
    "'",
    '"',
    "a'b",
    "%",
    "?",
]


@pytest.fixture
def people(api: Api) -> Api:
    documents: dict[str, Any] = {
        "ann": {"name": "Ána", "age": 20, "active": True, "tags": ["a", "b"]},
        "bob": {"name": "bob", "age": "20", "active": 1, "tags": []},
        "cyd": {"name": "🙂cyd", "age": None},
        "dan": "text",
    }
    for name, document in documents.items():
        api.put(f"p/{name}", document)
    return api


def ask(api: Api, where: Any) -> list[str]:
    """What all routes that filter agree on."""
    names = [key[1] for key in api.keys(prefix=["p"], where=where)]
    assert api.json("POST", "/keys/count", {"prefix": "p", "where": where}) == {"count": len(names)}
    page = api.json("POST", "/keys/paginate", {"prefix": "p", "where": where})
    assert [entry["key"][1] for entry in page["entries"]] == names
    return names


@pytest.mark.parametrize("field", ATTACKS)
def test_weakness_07_field_names_are_no_sql(people: Api, field: str) -> None:
    for path in (field, f"a.{field}", f"$.{field}"):
        response = people.send("POST", "/keys/list", {"where": {path: "nobody"}})
        assert response.status_code in (200, 400), response.text
        assert response.status_code == 400 or response.json() == []
        people.send("DELETE", "/keys/p", {"where": {path: "nobody"}})
    assert len(people.keys()) == 4


@pytest.mark.parametrize("text", ATTACKS)
def test_weakness_07_operands_are_no_sql(people: Api, text: str) -> None:
    assert ask(people, {"name": text}) == []
    assert ask(people, {"name": {"$in": [text]}}) == []
    assert ask(people, {"name": {"$contains": text}}) == []


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({"age": {"$gt": 18}}, ["ann"]),
        ({"age": {"$lt": "3"}}, ["bob"]),
        ({"active": True}, ["ann"]),
        ({"active": 1}, ["bob"]),
        ({"age": 20.0}, ["ann"]),
        ({"age": {"__type": "bigint", "value": "20"}}, ["ann"]),
        ({"age": {"$eq": None}}, ["cyd", "dan"]),
        ({"$": "text"}, ["dan"]),
    ],
)
def test_weakness_43_types_do_not_mix(people: Api, where: Any, names: list[str]) -> None:
    assert ask(people, where) == names


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({"name": {"$containsi": "ÁNA"}}, ["ann"]),
        ({"name": {"$startsWithi": "án"}}, ["ann"]),
        ({"name": {"$startsWith": "🙂c"}}, ["cyd"]),
        ({"name": {"$endsWith": "🙂cyd"}}, ["cyd"]),
        ({"name": {"$endsWith": ""}}, ["ann", "bob", "cyd"]),
        ({"name": {"$startsWith": ""}}, ["ann", "bob", "cyd"]),
        ({"tags": {"$contains": "a"}}, ["ann"]),
    ],
)
def test_weakness_42_text_is_unicode(people: Api, where: Any, names: list[str]) -> None:
    assert ask(people, where) == names


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"a": {"$foo": 1}}, "Unknown operator: $foo"),
        ({"a": {"$eq": 1, "$foo": 1}}, "Unknown operator: $foo"),
        ({"$nor": []}, "Unknown operator: $nor"),
        ({"a": {"b": 1}}, "Nested objects are not supported, use dot notation"),
        ({"a..b": 1}, "Invalid field path: "),
        ({"a[x]": 1}, "Invalid field path: "),
    ],
)
def test_weakness_09_what_is_not_understood_is_refused(
    shared_api: Api, where: Any, message: str
) -> None:
    for path in ("/keys/list", "/keys/count", "/keys/paginate"):
        assert shared_api.error("POST", path, {"where": where}).startswith(message)


@pytest.mark.parametrize("offset", ["$offset", "offset"])
def test_now_takes_both_spellings_of_its_offset(api: Api, offset: str) -> None:
    api.put("p/at", {"at": int(time.time() * 1000) - 60_000})
    ago: dict[str, Any] = {"$now": True, offset: -3_600_000}
    assert ask(api, {"at": {"$gt": ago, "$lt": {"$now": True}}}) == ["at"]
    assert ask(api, {"at": {"$between": [ago, {"$now": True}]}}) == ["at"]
    assert ask(api, {"at": {"$lt": ago}}) == []


def test_the_limit_counts_matching_entries(api: Api) -> None:
    for number in range(30):
        api.put(f"p/{number}", {"even": number % 2 == 0})
    body = {"prefix": ["p"], "limit": 3, "where": {"even": True}}
    seen: list[int] = []
    cursor = None
    for _ in range(6):
        page = api.json("POST", "/keys/paginate", {**body, "cursor": cursor})
        seen += [entry["key"][1] for entry in page["entries"]]
        cursor = page["cursor"]
        if not page["hasMore"]:
            break
    assert seen == list(range(0, 30, 2))
    assert api.keys(**body) == [["p", 0], ["p", 2], ["p", 4]]


def test_limits_of_filters(shared_api: Api) -> None:
    deep: Any = {"a": 1}
    for _ in range(21):
        deep = {"$not": deep}
    wide = {"$and": [{"a": 1}] * 1001}
    long = {"a": {"$in": [1] * 1001}}
    for where in (deep, wide, long, {"x" * 1025: 1}):
        shared_api.error("POST", "/keys/list", {"where": where})
    for where in ({"$and": [{"a": 1}] * 1000}, {"a": {"$in": [1] * 1000}}, {"x" * 1024: 1}):
        assert isinstance(shared_api.keys(where=where), list)
