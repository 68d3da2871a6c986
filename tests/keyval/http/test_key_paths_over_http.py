"""Keys in URLs: numbers and strings, percent signs, spellings that collide with routes."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import pytest
from support.api import Api

NASTY = ["a@b c/d", "100%", "%41", "a,b", "a:b", "é🙂", "?", "#", "+", "..", "[1]", "a%2Fb", "\x7f"]


def path_of(*parts: object) -> str:
    return "/".join(quote(str(part), safe="") for part in parts)


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("users/123", ["users", 123]),
        ("users//123/", ["users", 123]),
        ("users/007", ["users", 7]),
        ("users/-100", ["users", -100]),
        ("users/1.5", ["users", "1.5"]),
        ("users/true", ["users", "true"]),
        ("users/9007199254740993", ["users", "9007199254740993"]),
        ("users/%31%32", ["users", 12]),
        ("users/..", ["users", ".."]),
        ("100%", ["100%"]),
        ("%00/x", ["\0", "x"]),
    ],
)
def test_the_path_names_the_key(api: Api, path: str, key: list[Any]) -> None:
    api.put(path, "v")
    assert api.keys() == [key]
    assert api.json("GET", f"/keys/{path}")["key"] == key
    assert api.json("DELETE", f"/keys/{path}") == {"deletedCount": 1}


@pytest.mark.parametrize(
    "key", [["a", "keys", "b"], ["keys"], ["keys", "keys"], ["api", "keys", 1], ["x", "keys"]]
)
def test_weakness_24_a_part_named_keys_stays_a_part(api: Api, key: list[Any]) -> None:
    api.put("b", "other")
    api.put(path_of(*key), "mine")
    assert api.value(*key) == "mine"
    assert api.json("GET", f"/keys/{path_of(*key)}")["key"] == key
    assert api.json("DELETE", f"/keys/{path_of(*key)}") == {"deletedCount": 1}
    assert api.value("b") == "other"


@pytest.mark.parametrize("part", NASTY)
def test_weakness_25_percent_encoding_means_the_same_everywhere(api: Api, part: str) -> None:
    api.put(path_of("p", part, "leaf"), 1)
    key = ["p", part, "leaf"]
    assert api.value(*key) == 1
    assert api.json("GET", f"/keys/{path_of(*key)}")["key"] == key
    # The query decodes once, then each segment once more: so a path is encoded twice there.
    path = path_of("p", part)
    for query in (
        {"prefix": path},
        {"start": path},
        {"start": path, "end": path_of("p", part, "z")},
    ):
        assert [entry["key"] for entry in api.json("GET", "/keys", query=query)] == [key]
    assert api.json("GET", "/keys/count", query={"prefix": path}) == {"count": 1}
    assert api.json("DELETE", "/keys", query={"prefix": path}) == {"deletedCount": 1}


def test_query_values_without_percent_signs_may_be_encoded_once(api: Api) -> None:
    api.put("my%20docs/1", 1)
    for encoded in ("my%20docs", "my%2520docs", "my+docs", "%6Dy%20docs", "[%22my%20docs%22]"):
        assert api.json("GET", f"/keys/count?prefix={encoded}") == {"count": 1}


@pytest.mark.parametrize("name", ["list", "count", "paginate", "batch", "delete-batch"])
def test_keys_spelt_like_routes(api: Api, name: str) -> None:
    stamp = api.json("PUT", f"/keys/{name}", 1)["versionstamp"]
    api.put(f"{name}/child", 2)
    (entry,) = api.json("POST", "/keys/batch", {"keys": [[name]]})
    assert entry == {"key": [name], "value": 1, "versionstamp": stamp}
    assert api.json("GET", f"/keys/{name}/child")["value"] == 2
    assert api.json("DELETE", f"/keys/{name}", {"exact": True}) == {"deletedCount": 1}
    assert api.keys() == [[name, "child"]]


def test_a_percent_sign_hides_a_key_from_a_route(api: Api) -> None:
    api.put("count", 1)
    assert api.json("GET", "/keys/c%6Funt")["value"] == 1


def test_weakness_26_a_stored_null_exists(api: Api) -> None:
    stamp = api.put("nothing", None)
    entry = {"key": ["nothing"], "value": None, "versionstamp": stamp}
    assert api.json("GET", "/keys/nothing") == entry
    assert api.json("POST", "/keys/batch", {"keys": [["nothing"]]}) == [entry]
    check = {"key": ["nothing"], "versionstamp": stamp}
    body = {"checks": [check], "mutations": [{"type": "set", "key": ["nothing"], "value": 1}]}
    assert api.json("POST", "/atomic", body)["ok"] is True
    assert api.json("POST", "/atomic", body) == {"ok": False}


def test_typed_keys_go_through_json_and_typed_query_values(api: Api) -> None:
    big = {"__type": "bigint", "value": "9007199254740993"}
    data = {"__type": "uint8array", "value": "AP8B"}
    given: list[Any] = [data, {"0": 7}, "5", 5, 1.5, big, False, True]
    for number, part in enumerate(given):
        api.mutate({"type": "set", "key": ["t", part], "value": number})
    stored = [data, {"__type": "uint8array", "value": "Bw=="}, *given[2:]]
    assert api.keys(prefix=["t"]) == [
        ["t", part] for part in (stored[0], stored[1], "5", 1.5, 5, big, False, True)
    ]
    for number, part in enumerate(given):
        assert api.value("t", part) == number
        text = api.json("GET", "/keys", query={"prefix": '["t"]', "start": json.dumps(["t", part])})
        assert text[0]["value"] == number


def test_surrogate_pairs_count_as_two_and_bytes_as_one(api: Api) -> None:
    api.put(path_of("🙂" * 512), 1)
    message = api.error("PUT", f"/keys/{path_of('🙂' * 513)}", 1)
    assert message == "Key part too long (max 1024 chars)"
    message = api.error("POST", "/keys/batch", {"keys": [["🙂" * 513]]})
    assert message.endswith("Key part at index 0 too long: 1026 chars (max 1024)")
