"""Answers that would be large: pages end early, what has no pages is refused before it is read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from buntime_keyval import Kv, TooLarge
from support.api import Api
from support.sse import event_stream

pytestmark = pytest.mark.slow

MIB = 1024 * 1024
MOST = 16 * MIB
LETTERS = "aé日😀"
VALUES = [letter * (MIB // len(letter.encode())) for letter in LETTERS] * 5
"""20 MiB, more than an answer may have."""


@pytest.fixture(scope="module")
def full(shared_api: Api) -> Api:
    """A store with all of them."""
    shared_api.empty()
    for number, value in enumerate(VALUES):
        shared_api.put(f"v/{number}", value)
        shared_api.put(f"few/{number}", number)
    return shared_api


def refusal(api: Api, method: str, path: str, body: Any = None) -> str:
    content = None if body is None else json.dumps(body).encode()
    answer = api.send(method, path, content=content)
    assert answer.status_code == 413, answer.text[:1000]
    assert answer.json()["code"] == "KEYVAL_LIMIT_EXCEEDED"
    error = str(answer.json()["error"])
    assert error.startswith("Answer too large: ")
    assert f"(limits.answerBytes is {MOST}): use " in error
    return error


def entries(numbers: range | list[int]) -> list[tuple[Any, Any]]:
    return [(["v", number], VALUES[number]) for number in numbers]


def told(found: list[Any]) -> list[tuple[Any, Any]]:
    return [(entry["key"], entry["value"]) for entry in found]


@pytest.mark.parametrize("limit", [100, 1000])
@pytest.mark.parametrize("where", [None, {"missing": {"$eq": None}}])
def test_a_list_is_refused_and_its_pages_are_not(full: Api, limit: int, where: Any) -> None:
    asked = {"prefix": ["v"], "limit": limit} | ({"where": where} if where else {})
    assert "use pages" in refusal(full, "POST", "/keys/list", asked)
    if where is None:
        assert "20 entries of" in refusal(full, "GET", f"/keys?prefix=v&limit={limit}")
    found: list[Any] = []
    pages = 0
    cursor = None
    while True:
        page = full.json("POST", "/keys/paginate", asked | {"cursor": cursor})
        found += page["entries"]
        pages += 1
        cursor = page["cursor"]
        assert page["hasMore"] is (cursor is not None)
        if cursor is None:
            break
    assert pages == 2
    assert told(found) == entries(range(20))


def test_answers_of_several_prefixes_are_as_limited(full: Api) -> None:
    """However many ranges they are: a list is refused, and a page ends where an answer is full."""
    selectors = {"prefixes": [["few"], ["v"]], "limit": 1000}
    assert "use pages" in refusal(full, "POST", "/keys/list", selectors)
    page = full.json("POST", "/keys/paginate", selectors)
    found = told(page["entries"])
    assert len(VALUES) < len(found) < 2 * len(VALUES)
    while page["hasMore"]:
        page = full.json("POST", "/keys/paginate", {**selectors, "cursor": page["cursor"]})
        found += told(page["entries"])
    assert found[len(VALUES) :] == entries(range(len(VALUES)))


@pytest.mark.parametrize("snapshot", [False, True])
def test_pages_backwards(full: Api, snapshot: bool) -> None:
    query = {"prefix": "v", "reverse": True, "snapshot": snapshot}
    first = full.json("POST", "/keys/paginate", query)
    rest = full.json("POST", "/keys/paginate", query | {"cursor": first["cursor"]})
    assert told(first["entries"] + rest["entries"]) == entries(list(range(19, -1, -1)))
    assert first["hasMore"]
    assert not rest["hasMore"]


def test_a_page_ends_at_the_limit_too(full: Api) -> None:
    for snapshot in (False, True):
        query = {"prefix": "v", "limit": 3, "snapshot": snapshot}
        page = full.json("POST", "/keys/paginate", query)
        assert told(page["entries"]) == entries(range(3))
        assert page["hasMore"]


def test_a_list_that_fits(full: Api) -> None:
    found = full.json("GET", "/keys?prefix=v&limit=15")
    assert told(found) == entries(range(15))
    keys = full.json("GET", "/keys?prefix=v&values=false&details=true")
    assert [entry["key"] for entry in keys] == [["v", number] for number in range(20)]
    assert all("value" not in entry and entry["createdAt"] for entry in keys)
    some = full.json("GET", "/keys?prefix=v&limit=4&details=true&reverse=true")
    assert told(some) == entries([19, 18, 17, 16])
    assert all(entry["createdAt"] for entry in some)


@pytest.mark.parametrize(
    ("path", "keys_of", "entries_of"),
    [
        ("/keys/batch", "keys", lambda answer: answer),
        ("/transaction", "reads", lambda answer: answer["entries"]),
        ("/watch/poll", "keys", lambda answer: answer["entries"]),
    ],
)
def test_keys_that_are_asked_for(full: Api, path: str, keys_of: str, entries_of: Any) -> None:
    all_keys = [["v", number] for number in range(20)]
    assert "fewer keys" in refusal(full, "POST", path, {keys_of: all_keys})
    # One key a thousand times is a thousand values.
    same = [["v", 0]] * 1000
    size = int(refusal(full, "POST", path, {keys_of: same}).split()[3])
    assert 1000 * MIB < size < 1001 * MIB
    mixed = [["few", 1], *all_keys[:7], ["missing"], *all_keys[:7]]
    found = entries_of(full.json("POST", path, {keys_of: mixed}))
    if path == "/watch/poll":
        assert [entry for entry in found if entry["key"] == ["missing"]] == []
        found = [*found[:8], {"key": ["missing"], "value": None}, *found[8:]]
    seven = entries(range(7))
    assert told(found) == [(["few", 1], 1), *seven, (["missing"], None), *seven]


def test_a_poll_asks_for_what_has_changed(full: Api) -> None:
    keys = [["v", number] for number in range(20)]
    stamps = []
    for part in (keys[:10], keys[10:]):
        stamps += full.json("POST", "/watch/poll", {"keys": part})["versionstamps"]
    asked = {"keys": keys, "versionstamps": ["", *stamps[1:]]}
    answer = full.json("POST", "/watch/poll", asked)
    assert told(answer["entries"]) == entries(range(1))
    assert answer["versionstamps"] == stamps


def test_a_transaction_that_would_answer_too_much_commits_nothing(full: Api) -> None:
    sets = [{"type": "set", "key": ["written"], "value": 1}]
    body = {"reads": [["v", 0]] * 20, "mutations": sets}
    assert "fewer keys" in refusal(full, "POST", "/transaction", body)
    assert full.value("written") is None
    done = full.json("POST", "/transaction", body | {"reads": [["v", 3]] * 3})
    assert told(done["entries"]) == entries([3] * 3)
    full.json("DELETE", "/keys/written")


def test_the_client_goes_on_with_pages(full: Api) -> None:
    with Kv(full.base) as kv:
        for reverse in (False, True):
            numbers = sorted(range(20), reverse=reverse)
            found = [entry.value for entry in kv.list(["v"], reverse=reverse)]
            assert found == [VALUES[number] for number in numbers]
        found = [entry.value for entry in kv.list(["v"], limit=18, page_size=17)]
        assert found == VALUES[:18]
        # The first list is small, what follows is not.
        many = [entry.value for entry in kv.list([], page_size=22)]
        assert many == [*range(20), *VALUES]
        with pytest.raises(TooLarge, match="use fewer keys"):
            kv.get([("v", number) for number in range(20)])


def test_the_poll_of_a_prefix_tells_as_much_as_there_is_room_for(full: Api) -> None:
    found: list[Any] = []
    stamps = ""
    polls = 0
    while True:
        asked = {"prefix": ["v"], "limit": 1000, "versionstamps": stamps}
        answer = full.json("POST", "/watch/prefix/poll", asked)
        stamps = answer["versionstamps"]
        if not answer["entries"]:
            break
        found += answer["entries"]
        polls += 1
    assert 3 <= polls <= 5
    assert told(found) == entries(range(20))
    assert stamps.count(",") == 19


@pytest.mark.parametrize(("path", "limit"), [("prefix=v", 15), ("prefix=v", 100), ("keys", 0)])
def test_a_watch_begins_with_several_events(full: Api, path: str, limit: int) -> None:
    keys = ",".join(f"v/{number}" for number in range(20))
    target = f"/watch/prefix?{path}&limit={limit}" if limit else f"/watch?keys={keys}"
    wanted = entries(range(20))[: limit or 20]
    with event_stream(full.base, target) as stream:
        found: list[Any] = []
        events = 0
        while len(found) < len(wanted):
            event = stream.next()
            assert event is not None
            if event.event == "change":
                found += event.data
                events += 1
        assert told(found) == wanted
        assert events >= len(wanted) // 8
        full.put("v/3", "changed")
        try:
            while (event := stream.next()) is None or event.event == "ping":
                pass
            assert told(event.data) == [(["v", 3], "changed")]
        finally:
            full.put("v/3", VALUES[3])
        event = stream.next()
        assert event is not None
        assert told(event.data) == entries([3])


def test_dead_letters(full: Api) -> None:
    value = "x" * 7_000_000
    sent = []
    for _ in range(3):
        message = {"value": value, "options": {"backoffSchedule": []}}
        sent.append(full.json("POST", "/queue/enqueue", message)["id"])
        taken = full.json("GET", "/queue/poll")["message"]
        full.json("POST", "/queue/nack", {"id": taken["id"]})
    error = refusal(full, "GET", "/queue/dlq")
    assert "21000006 bytes" in error
    assert error.endswith("use a smaller limit, and offset for the next ones")
    letters = full.json("GET", "/queue/dlq?limit=2") + full.json("GET", "/queue/dlq?offset=2")
    assert [letter["originalId"] for letter in letters] == sent[::-1]
    assert all(letter["value"] == value for letter in letters)
    full.json("DELETE", "/queue/dlq")


def test_hits_of_a_search(api: Api) -> None:
    for number in range(18):
        api.put(f"s/{number}", {"text": "word", "rest": VALUES[number]})
    api.json("POST", "/indexes", {"prefix": ["s"], "fields": ["text"]})
    asked = {"prefix": ["s"], "query": "word"}
    assert "use pages" in refusal(api, "POST", "/search", asked)
    assert len(api.json("POST", "/search", asked | {"limit": 3})) == 3
    for more in ({}, {"where": {"text": {"$containsi": "WORD"}}}, {"highlight": True}):
        found: list[Any] = []
        cursor = None
        while True:
            options = {"options": more | {"cursor": cursor}}
            page = api.json("POST", "/search/paginate", asked | options)
            found += page["entries"]
            cursor = page["cursor"]
            assert page["hasMore"] is (cursor is not None)
            if cursor is None:
                break
        assert [entry["key"][1] for entry in found] == list(range(18))
        assert [entry["value"]["rest"] for entry in found] == VALUES[:18]
    api.json("DELETE", "/indexes", {"prefix": ["s"]})
