"""Values over HTTP: any JSON, given back as it was meant, on every route that shows one."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

VALUES: list[Any] = [
    None, True, False, 0, -1, 1.5, 2**53, 1e300, 5e-324, "", "text", "é🙂\0\u2028", '"\\', [], {},
    [[[]]], {"a": {"b": [1, None, {"c": "d"}]}, "": 1, "$eq": 2}, {"key": 1, "value": 2},
    {"__type": "other", "value": 1}, {"$now": False}, "x" * 100_000,
]  # fmt: skip
BIG = {"__type": "bigint", "value": "9007199254740993000"}


def every_view(api: Api, key: list[Any]) -> list[Any]:
    """The value of a key as each route that shows entries shows it."""
    path = "/".join(str(part) for part in key)
    return [
        api.json("GET", f"/keys/{path}")["value"],
        api.json("POST", "/keys/batch", {"keys": [key]})[0]["value"],
        api.json("GET", "/keys")[0]["value"],
        api.json("POST", "/keys/list", {"where": {}})[0]["value"],
        api.json("GET", "/keys/paginate")["entries"][0]["value"],
        api.json("POST", "/keys/paginate", {"limit": 1})["entries"][0]["value"],
        api.json("POST", "/transaction", {"reads": [key]})["entries"][0]["value"],
    ]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: json.dumps(value)[:30])
def test_any_json_comes_back(api: Api, value: Any) -> None:
    api.put("v/1", value)
    assert {json.dumps(view) for view in every_view(api, ["v", 1])} == {json.dumps(value)}
    api.mutate({"type": "set", "key": ["v", 1], "value": value})
    assert {json.dumps(view) for view in every_view(api, ["v", 1])} == {json.dumps(value)}


@pytest.mark.parametrize(
    "value", [BIG, [BIG], {"deep": [{"id": BIG}]}, {"__type": "uint8array", "value": "AP8="}]
)
def test_weakness_11_tagged_values_can_be_read_everywhere(api: Api, value: Any) -> None:
    api.put("v", value)
    for view in every_view(api, ["v"]):
        assert view == value


def test_numbers_are_written_as_javascript_writes_them(api: Api) -> None:
    api.json("PUT", "/keys/n", b'{"a":57.0,"b":[-0.0,-0,1e2],"c":1.50}')
    assert api.send("GET", "/keys/n").text.startswith(
        '{"key":["n"],"value":{"a":57,"b":[0,0,100],"c":1.5},"versionstamp":"'
    )
    api.mutate({"type": "set", "key": ["k", 5.0], "value": 1.0})
    assert '"key":["k",5],"value":1,' in api.send("GET", "/keys?prefix=k").text


@pytest.mark.parametrize("offset", ["offset", "$offset"])
def test_now_becomes_the_server_time(api: Api, offset: str) -> None:
    before = time.time_ns() // 1_000_000
    api.put("t", {"at": {"$now": True}, "list": [{"$now": True, offset: -1000}]})
    value = api.value("t")
    assert before <= value["at"] <= time.time_ns() // 1_000_000
    assert value["list"] == [value["at"] - 1000]


@pytest.mark.parametrize(
    "tagged",
    [
        {"__type": "bigint", "value": "5", "unit": "kg"},
        {"__type": "uint8array", "value": "", "name": "x"},
        {"$now": True, "note": "x"},
    ],
)
@pytest.mark.parametrize("within", ["{}", "[{}]", '{{"a":{{"b":{}}}}}'])
def test_what_would_be_lost_is_refused(shared_api: Api, tagged: Any, within: str) -> None:
    value = json.loads(within.format(json.dumps(tagged)))
    other = [*tagged][-1]
    for method, path, body in (
        ("PUT", "/keys/a", value),
        ("POST", "/atomic", {"mutations": [{"type": "set", "key": ["a"], "value": value}]}),
        ("POST", "/queue/enqueue", {"value": value}),
    ):
        assert repr(other) in shared_api.error(method, path, body)


def test_no_content_type_is_needed_to_put(api: Api) -> None:
    for headers in ({}, {"Content-Type": "text/plain"}, {"Content-Type": "application/json"}):
        api.json("PUT", "/keys/a", content=b'{"b":1}', headers=headers)
        assert api.value("a") == {"b": 1}


def test_what_was_refused_leaves_the_old_value(api: Api) -> None:
    stamp = api.put("a", "old")
    for body in (b"", b"{", b"nul", b"[1,]", b'"\xff"', b"\xff\xfe"):
        assert api.error("PUT", "/keys/a", body) == "Invalid JSON body"
    entry = {"key": ["a"], "value": "old", "versionstamp": stamp}
    assert api.json("GET", "/keys/a") == entry


def test_every_set_has_a_new_and_later_versionstamp(api: Api) -> None:
    stamps = [api.put("a", number) for number in range(50)]
    assert stamps == sorted(set(stamps))
