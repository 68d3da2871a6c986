"""`PATCH /keys/<path>` and the mutation, on the wire."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")


def test_it_merges(api: Api) -> None:
    api.put("a/1", {"a": 1, "n": {"__type": "bigint", "value": "5"}, "in": {"x": 1.5, "y": 2}})
    told = api.json("PATCH", "/keys/a/1?type=T&metadata=1", {"a": None, "in": {"y": [1.0]}})
    assert told["ok"] is True
    entry = api.json("GET", "/keys/a/1?details=true")
    assert entry["value"] == {
        "n": {"__type": "bigint", "value": "5"},
        "in": {"x": 1.5, "y": [1]},
    }
    assert (entry["versionstamp"], entry["type"]) == (told["versionstamp"], "T")
    assert (entry["revision"], entry["metadata"]) == (2, 1)
    api.json("PATCH", "/keys/list", [1])
    assert api.json("GET", "/keys/list")["value"] == [1], "a key may be spelt as a route"


def test_a_commit_patches(api: Api) -> None:
    patch: dict[str, Any] = {"type": "patch", "key": ["b"], "value": {"a": {"b": None, "c": 1}}}
    api.json("POST", "/atomic", {"mutations": [patch, {**patch, "value": {"d": 2}}]})
    assert api.json("GET", "/keys/b")["value"] == {"a": {"c": 1}, "d": 2}
    message = api.error("POST", "/atomic", {"mutations": [{"type": "patch", "key": ["b"]}]})
    assert message == "value is required in a patch: any JSON value, null included"


def test_long_patches_and_repetitions(api: Api) -> None:
    long = "x" * 300_000
    headers = {"Idempotency-Key": "once"}
    first = api.send("PATCH", "/keys/c", {"long": long, "no": None}, headers=headers)
    api.put("c", 1)
    again = api.send("PATCH", "/keys/c", {"long": long, "no": None}, headers=headers)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert api.json("GET", "/keys/c")["value"] == 1
    api.json("PATCH", "/keys/c", {"long": long, "no": None})
    assert api.json("GET", "/keys/c")["value"] == {"long": long}
