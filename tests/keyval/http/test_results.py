"""`results` of commits, and lives that are given without a value."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

MUTATIONS = [
    {"type": "sum", "key": ["n"], "value": 2},
    {"type": "enqueue", "value": "m"},
    {"type": "sum", "key": ["n"], "value": 2**60},
    {"type": "max", "key": ["n"], "value": 1},
    {"type": "append", "key": ["l"], "value": ["é", {}]},
    {"type": "prepend", "key": ["l"], "value": [0]},
    {"type": "patch", "key": ["p"], "value": {"a": {"b": 1, "c": None}}},
    {"type": "set", "key": ["s"], "value": 1},
    {"type": "min", "key": ["s"], "value": -1},
    {"type": "delete", "key": ["s"]},
    {"type": "touch", "key": ["s"], "expiresIn": "1h"},
    {"type": "persist", "key": ["n"]},
    {"type": "sum", "key": ["u", {"$uuidv7": True}], "value": 5},
]
BIG = {"__type": "bigint", "value": str(2**60 + 2)}
RESULTS = [2, None, BIG, BIG, ["é", {}], [0, "é", {}], {"a": {"b": 1}}]
RESULTS += [None, -1, None, False, True, 5]


@pytest.mark.parametrize("path", ["/atomic", "/transaction"])
def test_a_commit_tells_what_its_mutations_made(api: Api, path: str) -> None:
    reads = {"reads": [["s"]]} if path == "/transaction" else {}
    told = api.json("POST", path, {**reads, "mutations": MUTATIONS, "results": True})
    assert told["results"] == RESULTS
    assert told["ok"] is True
    assert "entries" in told or not reads
    assert api.value("n") == BIG


def test_nothing_is_told_that_was_not_asked_for(api: Api) -> None:
    for asked in ({}, {"results": False}):
        told = api.json("POST", "/atomic", {**asked, "mutations": MUTATIONS})
        assert told.keys() == {"ok", "versionstamp"}
    for path in ("/atomic", "/transaction"):
        assert api.json("POST", path, {"results": True})["results"] == []
    check = {"key": ["n"], "versionstamp": None}
    body = {"checks": [check], "mutations": MUTATIONS, "results": True}
    assert api.json("POST", "/atomic", body) == {"ok": False}


@pytest.mark.engines("libsql")
def test_a_value_that_a_server_does_not_take_is_refused(api: Api) -> None:
    refused = api.send("PUT", "/keys/l", ["x" * 1_000_000] * 6)
    assert refused.status_code == 413
    assert "larger than the database server allows" in refused.text


@pytest.mark.engines("sqlite")
def test_what_is_told_is_no_more_than_an_answer_may_have(api: Api) -> None:
    api.put("l", ["x" * 1_000_000] * 7)
    more: Any = [{"type": "append", "key": ["l"], "value": [n]} for n in range(3)]
    for path in ("/atomic", "/transaction"):
        refused = api.send("POST", path, {"mutations": more, "results": True})
        assert (refused.status_code, "answerBytes" in refused.text) == (413, True)
    assert len(api.value("l")) == 7
    assert api.json("POST", "/atomic", {"mutations": more})["ok"] is True


def test_lives_are_given_without_values(api: Api) -> None:
    api.put("a", {"v": 1}, type="T", metadata='"m"')
    api.put("b", 2, expiresIn="1m")
    keys = [["a"], ["b"], ["none"], ["a"]]
    assert api.json("POST", "/keys/touch", {"keys": keys, "expiresIn": "1h"}) == {"touchedCount": 2}
    found = api.json("GET", "/keys/a?details=true")
    assert (found["value"], found["metadata"], found["type"]) == ({"v": 1}, "m", "T")
    assert found["expiresAt"] > found["updatedAt"]
    assert api.json("POST", "/keys/persist", {"keys": keys}) == {"touchedCount": 2}
    assert api.json("GET", "/keys/b?details=true")["expiresAt"] is None
    assert api.keys() == [["a"], ["b"]]


@pytest.mark.engines("sqlite")
@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/keys/touch", {"keys": [["a"]]}, "expiresIn or expiresAt is required"),
        ("/keys/persist", {"keys": [["a"]], "expiresIn": 5}, "Unknown parameter: 'expiresIn'"),
        ("/keys/touch", {"keys": [], "expiresIn": 5}, "Keys array cannot be empty"),
        (
            "/atomic",
            {"mutations": [{"type": "touch", "key": ["a"]}]},
            "expiresIn or expiresAt is required in a touch",
        ),
        (
            "/atomic",
            {"mutations": [{"type": "touch", "key": ["a"], "expiresIn": 5, "value": 1}]},
            "value is not allowed on a touch",
        ),
        (
            "/atomic",
            {"mutations": [{"type": "persist", "key": ["a"], "expiresIn": 5}]},
            "expiresIn is not allowed on a persist",
        ),
        ("/atomic", {"mutations": [], "results": 1}, "results"),
    ],
)
def test_wrong_lives_are_refused(shared_api: Api, path: str, body: Any, message: str) -> None:
    assert message in shared_api.error("POST", path, body)
