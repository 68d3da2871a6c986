"""Deleting over HTTP: what goes, what stays, and what the body may say."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import JSON_HEADERS, Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def filled(api: Api) -> Api:
    for path in ("user", "user/1", "user/2", "user/2/x", "users", "users/1", "user2"):
        api.put(path, {"path": path, "draft": path.endswith("1")})
    return api


def test_weakness_01_deleting_a_prefix_spares_its_siblings(filled: Api) -> None:
    assert filled.json("DELETE", "/keys/user") == {"deletedCount": 4}
    assert filled.keys() == [["user2"], ["users"], ["users", 1]]


def test_exact_takes_only_the_key(filled: Api) -> None:
    assert filled.json("DELETE", "/keys/user/2", {"exact": True}) == {"deletedCount": 1}
    assert filled.json("DELETE", "/keys/user/2", {"exact": True}) == {"deletedCount": 0}
    assert filled.value("user", 2, "x") is not None
    assert filled.json("DELETE", "/keys/user/2", {"exact": False}) == {"deletedCount": 1}


@pytest.mark.parametrize("mode", ["path", "query", "batch"])
def test_where_restricts_either_mode(filled: Api, mode: str) -> None:
    def delete(**options: Any) -> Any:
        options["where"] = {"draft": True}
        if mode == "path":
            return filled.json("DELETE", "/keys/user", options)
        if mode == "query":
            return filled.json("DELETE", "/keys?prefix=user", options)
        return filled.json("POST", "/keys/delete-batch", {"keys": [["user"]], **options})

    assert delete(exact=True) == {"deletedCount": 0}
    assert delete() == {"deletedCount": 1}
    assert filled.keys(prefix=["user"]) == [["user", 2], ["user", 2, "x"]]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"content": b'{"exact":true}', "headers": JSON_HEADERS}, 2),
        (
            {
                "content": b'{"exact":true}',
                "headers": {"Content-Type": "Application/JSON; charset=utf-8"},
            },
            2,
        ),
        ({"content": b'{"exact":true}', "headers": {"Content-Type": "text/plain"}}, 2),
        ({"content": b'{"exact":true}', "headers": FORM}, 2),
        ({"content": b'{"exact":true}'}, 2),
        ({"query": {"exact": "true"}}, 2),
        ({"query": {"exact": "false"}}, 0),
        ({"content": b"", "headers": JSON_HEADERS}, 0),
        ({"body": {}}, 0),
        ({"body": {"exact": None, "where": None}}, 0),
        ({"body": {"where": {}}}, 0),
    ],
)
def test_options_count_wherever_they_are_and_whatever_the_body_says_it_is(
    filled: Api, options: dict[str, Any], left: int
) -> None:
    filled.json("DELETE", "/keys/user/2", **options)
    filled.put("user/2/y", 1)
    expected = {0: [["user", 2, "y"]], 2: [["user", 2, "x"], ["user", 2, "y"]]}[left]
    assert filled.keys(prefix=["user", 2]) == expected


@pytest.mark.parametrize(
    "where",
    [
        {"draft": {"$foo": True}},
        {"draft": {"$eq": True, "$foo": 1}},
        {"profile": {"verified": True}},
        {"draft": {}},
        {"$nor": [{"draft": True}]},
        {"$or": []},
        {"draft": {"$in": "x"}},
        [],
        "draft",
    ],
)
def test_weakness_09_a_filter_with_a_typing_mistake_deletes_nothing(
    filled: Api, where: Any
) -> None:
    filled.error("DELETE", "/keys/user", {"where": where})
    filled.error("DELETE", "/keys?prefix=user", {"where": where})
    filled.error("POST", "/keys/delete-batch", {"keys": [["user"]], "where": where})
    assert len(filled.keys()) == 7


def test_weakness_35_nothing_deletes_the_whole_store_by_accident(filled: Api) -> None:
    for path in (
        "/keys",
        "/keys?prefix=",
        "/keys?prefix=[]",
        "/keys?prefix=/",
        "/keys/",
        "/keys//",
    ):
        filled.error("DELETE", path)
        filled.error("DELETE", path, {"where": {}})
    mistakes: list[Any] = [[], [[]], [["user"], []]]
    for keys in mistakes:
        filled.error("POST", "/keys/delete-batch", {"keys": keys})
    assert len(filled.keys()) == 7


def test_delete_by_query_takes_the_prefix_itself_too(filled: Api) -> None:
    assert filled.json("DELETE", '/keys?prefix=["user",2]') == {"deletedCount": 2}
    assert filled.json("DELETE", "/keys?prefix=user/1", {"exact": True}) == {"deletedCount": 1}
    assert filled.keys(prefix=["user"]) == []
    assert filled.value("user") is not None


def test_overlapping_keys_of_a_batch_count_once(filled: Api) -> None:
    keys = [["user", 2], ["user"], ["user", 2, "x"], ["user"], ["nope"]]
    assert filled.json("POST", "/keys/delete-batch", {"keys": keys}) == {"deletedCount": 4}


@pytest.mark.parametrize("exact", [True, False])
def test_batches_hold_a_thousand_keys(api: Api, exact: bool) -> None:
    keys = [["n", number] for number in range(1000)]
    api.mutate(*({"type": "set", "key": key, "value": key[1]} for key in keys))
    entries = api.json("POST", "/keys/batch", {"keys": [*reversed(keys[1:]), ["n", "none"]]})
    assert [entry["value"] for entry in entries] == [*reversed(range(1, 1000)), None]
    for path in ("/keys/batch", "/keys/delete-batch"):
        message = api.error("POST", path, {"keys": [*keys, ["one", "more"]]})
        assert message == "Too many keys: 1001 (max 1000)"
    body = {"keys": keys, "exact": exact}
    assert api.json("POST", "/keys/delete-batch", body) == {"deletedCount": 1000}
    assert api.keys() == []


def test_a_batch_answers_duplicates_and_missing_keys_in_order(api: Api) -> None:
    stamp = api.put("a", 1)
    a = {"key": ["a"], "value": 1, "versionstamp": stamp}
    b = {"key": ["b", 1], "value": None, "versionstamp": None}
    entries = api.json("POST", "/keys/batch", {"keys": [["b", 1], ["a"], ["b", 1.0], ["a"]]})
    assert entries == [b, a, b, a]
