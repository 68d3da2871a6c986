"""`GET /watch/poll` and `GET /watch/prefix/poll`: what a client echoes is what it is told next."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

BIGINT = {"__type": "bigint", "value": "1"}
BYTES = {"__type": "uint8array", "value": "AQ=="}
TYPED: list[Any] = [
    1, "1", "007", BIGINT, BYTES, True, 1.5, -3, "a/b", "c,d", "e:f", "%5B", "[", "é🙂", " ", "+",
    "&=#?",
]  # fmt: skip


def prefix_poll(api: Api, **query: Any) -> tuple[list[tuple[Any, Any]], str]:
    """Keys and values of the entries, and what to send next time."""
    answer = api.json("GET", "/watch/prefix/poll", query=query)
    for entry in answer["entries"]:
        assert (entry["versionstamp"] is None) == (entry["value"] is None)
    return [(e["key"], e["value"]) for e in answer["entries"]], answer["versionstamps"]


def test_weakness_23_exact_polls_keep_positions(api: Api) -> None:
    stamp = api.put("b", 2)
    answer = api.json("GET", "/watch/poll", query={"keys": "a,b", "versionstamps": f",{stamp}"})
    assert answer == {"entries": [], "versionstamps": ["", stamp]}
    answer = api.json("GET", "/watch/poll", query={"keys": "a,b", "versionstamps": stamp})
    assert [entry["key"] for entry in answer["entries"]] == [["a"], ["b"]]
    answer = api.json("GET", "/watch/poll", query={"keys": "b,a"})
    assert [entry["key"] for entry in answer["entries"]] == [["b"]]
    assert answer["versionstamps"] == [stamp, ""]


def test_weakness_23_every_key_survives_the_round_trip(api: Api) -> None:
    api.mutate(*({"type": "set", "key": ["p", part], "value": 0} for part in TYPED))
    entries, told = prefix_poll(api, prefix="p")
    assert len(entries) == len(TYPED)
    assert prefix_poll(api, prefix="p", versionstamps=told) == ([], told)
    for part in TYPED:
        api.mutate({"type": "delete", "key": ["p", part]})
        entries, told = prefix_poll(api, prefix="p", versionstamps=told)
        assert entries == [(["p", part], None)]
        assert prefix_poll(api, prefix="p", versionstamps=told) == ([], told)
    assert told == ""


def test_key_paths_are_what_the_contract_shows(api: Api) -> None:
    first, second = api.put("d/a", 1), api.put("d/b%2Cc", 2)
    _, told = prefix_poll(api, prefix="d")
    assert told == f"d/a:{first},d/b%2Cc:{second}"


def test_weakness_22_news_beyond_the_limit_come_with_the_next_polls(api: Api) -> None:
    api.mutate(*({"type": "set", "key": ["p", number], "value": number} for number in range(40)))
    told, seen = "", []
    for _ in range(8):
        entries, told = prefix_poll(api, prefix="p", limit=5, versionstamps=told)
        assert len(entries) == 5
        seen += entries
    assert seen == [(["p", number], number) for number in range(40)]
    assert prefix_poll(api, prefix="p", limit=5, versionstamps=told) == ([], told)
    api.put("p/-1", -1)  # a new first key deletes no other one
    assert prefix_poll(api, prefix="p", limit=5, versionstamps=told)[0] == [(["p", -1], -1)]


def test_deletions_beyond_the_limit_come_too(api: Api) -> None:
    api.mutate(*({"type": "set", "key": ["p", number], "value": number} for number in range(12)))
    _, told = prefix_poll(api, prefix="p")
    api.json("DELETE", "/keys/p")
    seen = []
    for _ in range(3):
        entries, told = prefix_poll(api, prefix="p", limit=5, versionstamps=told)
        seen += entries
    assert sorted(key[1] for key, _ in seen) == list(range(12))
    assert told == ""


def test_weakness_22_a_change_beyond_a_thousand_keys_is_found(api: Api) -> None:
    for start in range(0, 2400, 800):
        keys = range(start, start + 800)
        api.mutate(*({"type": "set", "key": ["p", "x", n], "value": 0} for n in keys))
    api.put("p/y/last", 1)
    told = ""
    for _ in range(3):
        _, told = prefix_poll(api, prefix="p/y", versionstamps=told)
    entries, _ = prefix_poll(api, prefix="p", limit=1000)
    assert len(entries) == 1000
    api.put("p/y/last", 2)
    entries, _ = prefix_poll(api, prefix="p/y", versionstamps=told)
    assert entries == [(["p", "y", "last"], 2)]


def test_weakness_41_prefixes_include_themselves_and_count_once(api: Api) -> None:
    for path in ("a", "a/1", "b", "c"):
        api.put(path, path)
    entries, told = prefix_poll(api, prefixes="b,a,a/1")
    assert [key for key, _ in entries] == [["a"], ["a", 1], ["b"]]
    assert prefix_poll(api, prefixes="b,a,a/1", versionstamps=told) == ([], told)
    entries, _ = prefix_poll(api, prefix="a")
    assert [key for key, _ in entries] == [["a", 1]]


@pytest.mark.parametrize("junk", ["x", ":", "x:", ":y", ",,,", "a:b:c", "[1:x", "%5B1%5D:x"])
def test_junk_is_no_error_of_the_server(api: Api, junk: str) -> None:
    response = api.send("GET", "/watch/prefix/poll", query={"prefix": "p", "versionstamps": junk})
    assert response.status_code in (200, 400)


def test_keys_of_elsewhere_are_not_reported(api: Api) -> None:
    assert prefix_poll(api, prefix="p", versionstamps="q/gone:v1,p/gone:v2")[0] == [
        (["p", "gone"], None)
    ]


def test_polls_by_body_are_the_polls_by_query(api: Api) -> None:
    for number in range(3):
        api.put(f"p/{number}", number)
    entries, told = prefix_poll(api, prefix="p", limit=2)
    for body in ({"prefix": ["p"]}, {"prefix": "p"}):
        answer = api.json("POST", "/watch/prefix/poll", body={**body, "limit": 2})
        assert ([(e["key"], e["value"]) for e in answer["entries"]]) == entries
        assert answer["versionstamps"] == told
    answer = api.json(
        "POST", "/watch/prefix/poll", body={"prefixes": [["p"], "q"], "versionstamps": told}
    )
    assert [entry["key"] for entry in answer["entries"]] == [["p", 2]]
    keys = [["p", 0], "p/9"]
    answer = api.json("POST", "/watch/poll", body={"keys": keys})
    assert [entry["key"] for entry in answer["entries"]] == [["p", 0]]
    stamps = answer["versionstamps"]
    assert stamps[1] == ""
    for form in (stamps, ",".join(stamps)):
        again = api.json("POST", "/watch/poll", body={"keys": keys, "versionstamps": form})
        assert again == {"entries": [], "versionstamps": stamps}


def test_a_body_has_room_for_many_keys(api: Api) -> None:
    api.mutate(*({"type": "set", "key": ["p", n], "value": n} for n in range(1000)))
    told: str = ""
    for count in (1000, 0):
        body = {"prefixes": [["p"]], "limit": 1000, "versionstamps": told}
        answer = api.json("POST", "/watch/prefix/poll", body=body)
        assert len(answer["entries"]) == count
        told = answer["versionstamps"]
    assert len(told) > 40_000


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("/watch/poll", {}, "keys must be a non-empty array"),
        ("/watch/poll", {"keys": []}, "keys must be a non-empty array"),
        ("/watch/poll", {"keys": "a"}, "keys must be a non-empty array"),
        ("/watch/poll", {"keys": [[]]}, "Key cannot be empty"),
        ("/watch/poll", {"keys": [["a"]] * 1001}, "Too many keys: 1001 (max 1000)"),
        ("/watch/poll", {"keys": [["a"]], "versionstamps": [1]}, "versionstamps must be strings"),
        ("/watch/poll", {"keys": [["a"]], "versionstamps": 1}, "versionstamps must be a string"),
        ("/watch/prefix/poll", {}, "prefix is required"),
        ("/watch/prefix/poll", {"prefixes": []}, "prefixes must be a non-empty array"),
        ("/watch/prefix/poll", {"prefix": ["a"], "limit": 0}, "limit must be a positive number"),
        ("/watch/prefix/poll", {"prefix": ["a"], "versionstamps": []}, "must be a string"),
    ],
)
def test_wrong_bodies_are_refused(api: Api, path: str, body: Any, text: str) -> None:
    assert text in api.error("POST", path, body=body)
