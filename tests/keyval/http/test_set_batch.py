"""`POST /keys/set-batch`: each set on its own, with its own result or its own error."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")


def sets(api: Api, *items: Any, **options: Any) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = api.json("POST", "/keys/set-batch", {"sets": [*items]}, **options)
    return made


def test_each_is_a_commit_of_its_own(api: Api) -> None:
    values: list[Any] = [1, None, "x", [1.5, {"__type": "bigint", "value": "9" * 30}], {"a": {}}]
    made = sets(api, *[{"key": ["k", number], "value": it} for number, it in enumerate(values)])
    assert [it["ok"] for it in made] == [True] * 5
    stamps = [it["versionstamp"] for it in made]
    assert len({*stamps}) == 5
    assert stamps == sorted(stamps)
    entries = api.json("POST", "/keys/list", {"prefix": ["k"]})
    assert [it["value"] for it in entries] == values
    assert [it["versionstamp"] for it in entries] == stamps


def test_nothing_to_set(api: Api) -> None:
    assert sets(api) == []


def test_the_last_of_one_key_stays(api: Api) -> None:
    made = sets(api, *[{"key": ["a"], "value": number} for number in range(20)])
    entry = api.json("GET", "/keys/a")
    assert (entry["value"], entry["versionstamp"]) == (19, made[-1]["versionstamp"])


def test_what_is_wrong_with_one_is_not_wrong_with_the_others(api: Api) -> None:
    wrong: list[tuple[Any, str]] = [
        (5, "A set must be an object"),
        ({"value": 1}, "Key must be an array"),
        ({"key": []}, "Key cannot be empty"),
        ({"key": ["a"]}, "value is required"),
        ({"key": [None], "value": 1}, "key part"),
        ({"key": ["a"], "value": 1, "expiresIn": "soon"}, "duration"),
        ({"key": ["a"], "value": 1, "expiresin": 5}, "did you mean 'expiresIn'"),
        ({"key": ["a"], "value": 1, "idempotencyKey": "a b"}, "idempotency key"),
    ]
    for item, message in wrong:
        made = sets(api, {"key": ["b"], "value": 1}, item, {"key": ["c"], "value": 2})
        assert made[0]["ok"]
        assert made[2]["ok"]
        assert made[1]["status"] == 400, item
        assert message in made[1]["error"], item
        assert made[1].keys() == {"error", "status"}
    assert api.keys() == [["b"], ["c"]]


def test_what_is_too_long_in_one(api: Api) -> None:
    made = sets(api, {"key": ["a" * 2000], "value": 1}, {"key": ["b"], "value": 1})
    assert made[0]["status"] == 400
    assert made[1]["ok"]


def test_options(api: Api) -> None:
    before = time.time() * 1000 - 60_000
    made = sets(
        api,
        {"key": ["a"], "value": {"at": {"$now": True}}, "expiresIn": "1h", "metadata": {"by": 1}},
        {"key": ["b"], "value": 1, "expiresAt": 4_000_000_000_000},
        {"key": ["c"], "value": 1, "expireIn": 60_000},
        {"key": "d/1", "value": 1, "metadata": None, "expiresIn": None},
    )
    assert [it["ok"] for it in made] == [True] * 4
    a, b, c, d = api.json("POST", "/keys/list", {"details": True})
    assert a["value"]["at"] > before
    assert a["metadata"] == {"by": 1}
    assert a["expiresAt"] - a["updatedAt"] == 3_600_000
    assert b["expiresAt"] == 4_000_000_000_000
    assert c["expiresAt"] - c["updatedAt"] == 60_000
    assert (d["key"], d["expiresAt"]) == (["d", 1], None)


def test_a_set_is_repeated_under_its_own_key(api: Api) -> None:
    def item(number: int, key: str) -> dict[str, Any]:
        value = {"n": number, "at": {"$now": True}}
        return {"key": ["a", number], "value": value, "idempotencyKey": key}

    first = sets(api, item(1, "one"), item(2, "two"))
    state = api.json("POST", "/keys/list", {})
    again = sets(api, item(2, "two"), item(3, "three"), item(1, "one"))
    assert [again[2], again[0]] == first
    assert again[1]["ok"]
    assert api.json("POST", "/keys/list", {})[:2] == state
    (other,) = sets(api, item(7, "one"))
    assert (other["status"], other["code"]) == (422, "KEYVAL_IDEMPOTENCY_KEY_REUSED")
    both = sets(api, item(4, "four"), item(4, "four"))
    assert both[0]["ok"]
    assert (both[1]["status"], both[1]["code"]) == (409, "KEYVAL_REQUEST_UNDER_WAY")


def test_a_batch_is_repeated_under_the_key_of_the_request(api: Api) -> None:
    """Even if it was only begun: what was done of it has a key of its own."""
    items = [{"key": ["n", number], "value": number} for number in range(3)]
    headers = {"Idempotency-Key": "whole"}
    first = sets(api, *items, headers=headers)
    api.put("n/1", "newer")
    assert sets(api, *items, headers=headers) == first
    assert api.value("n", 1) == "newer"


def test_members_that_are_there_twice_are_refused_but_in_values(api: Api) -> None:
    body = b'{"sets":[{"key":["a"],"value":{"x":1,"x":2}}]}'
    assert api.json("POST", "/keys/set-batch", body)[0]["ok"]
    body = b'{"sets":[{"key":["a"],"key":["b"],"value":1}]}'
    assert "key is given twice in sets[0]" in api.error("POST", "/keys/set-batch", body)


def test_a_key_of_that_name_is_a_key(api: Api) -> None:
    api.put("set-batch", 1)
    assert api.json("GET", "/keys/set-batch")["value"] == 1
