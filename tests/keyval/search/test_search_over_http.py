"""Indexes and searches on the wire: every shape that clients send, and restarts."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keyval.search.test_search_queries import PIECES
from support.api import Api, api_of
from support.live import live_server
from support.sampling import share_of
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow


def fill(api: Api, count: int = 5) -> None:
    for first in range(0, count, 500):
        numbers = range(first, min(first + 500, count))
        api.mutate(
            *({"type": "set", "key": ["d", n], "value": {"text": f"word w{n}"}} for n in numbers)
        )


def keys(entries: Any) -> list[Any]:
    return [entry["key"][-1] for entry in entries]


@pytest.mark.parametrize(
    "body",
    [
        {"prefix": ["d"], "options": {"fields": ["text"], "tokenize": "porter"}},
        {"prefix": ["d"], "fields": ["text"], "tokenize": "porter"},
        {"prefix": "d", "fields": ["text"], "tokenize": "porter"},
        {"prefix": ["d"], "fields": ["x"], "options": {"fields": ["text"], "tokenize": "porter"}},
    ],
)
def test_both_shapes_of_an_index(api: Api, body: dict[str, Any]) -> None:
    fill(api)
    assert api.json("POST", "/indexes", body) == {"ok": True}
    (index,) = api.json("GET", "/indexes")
    assert index.pop("tableName").startswith("kv_fts_")
    assert index == {
        "prefix": ["d"], "fields": ["text"], "tokenize": "porter",
        "documents": 5, "entries": 5, "ready": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    "removal",
    [
        {"query": {"prefix": "d"}},
        {"query": {"prefix": '["d"]'}},
        {"body": {"prefix": ["d"]}},
        {"body": {"prefix": "d"}},
    ],
)
def test_every_shape_of_a_removal(api: Api, removal: dict[str, Any]) -> None:
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    assert api.json("DELETE", "/indexes", **removal) == {"ok": True}
    assert api.json("GET", "/indexes") == []
    assert api.json("DELETE", "/indexes", **removal) == {"ok": True}


def test_every_shape_of_a_search(api: Api) -> None:
    fill(api)
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    options = {
        "limit": 2,
        "where": {"text": {"$ne": "word w1"}},
        "start": ["d", 1],
        "end": ["d", 4],
    }
    expected = [2, 3]
    for body in (options, {"options": options}, {"limit": 1, "options": options}):
        request = {"prefix": ["d"], "query": "word", **body}
        assert keys(api.json("POST", "/search", request)) == expected
    reverse = {"prefix": ["d"], "query": "word", "options": {**options, "reverse": True}}
    assert keys(api.json("POST", "/search", reverse)) == expected[::-1]
    for prefix in ("d", '["d"]'):
        query = {"prefix": prefix, "query": "word", "limit": "2", "start": "d/1", "end": "d/4"}
        assert keys(api.json("GET", "/search", query=query)) == [1, 2]
        assert keys(api.json("GET", "/search", query={**query, "reverse": "true"})) == [3, 2]
    (hit,) = api.json(
        "POST", "/search", {"prefix": "d", "query": "w3", "highlight": ["[", "]"], "snippet": 1}
    )
    assert hit["highlight"] == {"text": "word [w3]"}
    assert hit["snippet"] == {"text": "…[w3]"}


def test_the_limit(api: Api) -> None:
    fill(api, 1100)
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    for limit, count in ((None, 100), ("1", 1), ("1000", 1000), ("5000", 1000)):
        query = {"prefix": "d", "query": "word"} | ({"limit": limit} if limit else {})
        assert len(api.json("GET", "/search", query=query)) == count
    message = api.error("GET", "/search", query={"prefix": "d", "query": "word", "limit": "0"})
    assert message.startswith("limit must be a positive number")


def test_without_an_index(api: Api) -> None:
    for method, options in (
        ("GET", {"query": {"prefix": "posts", "query": "x"}}),
        ("POST", {"body": {"prefix": ["posts"], "query": "x"}}),
    ):
        response = api.send(method, "/search", **options)
        assert response.status_code == 404
        assert response.json() == {"error": 'No index found for prefix: ["posts"]'}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/indexes", {"fields": ["a"]}, "prefix is required"),
        ("/indexes", {"prefix": [], "fields": ["a"]}, "prefix is required"),
        ("/indexes", {"prefix": ["d"], "fields": "a"}, "options.fields must be a non-empty array"),
        ("/indexes", {"prefix": ["d"], "options": 1}, "options must be an object, received number"),
        ("/search", {"prefix": ["d"], "query": 1}, "query must be a string, received number"),
        ("/search", {"prefix": ["d"]}, "query is required"),
        ("/search", {"prefix": ["d"], "query": "a", "fuzzy": "yes"}, "fuzzy must be a boolean"),
        ("/search", {"prefix": ["d"], "query": "a", "highlight": {"x": 1}}, "highlight.x"),
        (
            "/search",
            {"prefix": ["d"], "query": "a", "highlight": {"escape": "xml"}},
            "highlight.escape must be html, received",
        ),
        (
            "/search",
            {"prefix": ["d"], "query": "a", "highlight": {"marks": 1}},
            "highlight must be",
        ),
        ("/search", {"prefix": ["d"], "query": "a", "weights": {"text": 10**400}}, "weights.text"),
        ("/search", {"prefix": ["d"], "query": "a", "weights": {"nope": 1}}, "weights.nope"),
        ("/search", {"prefix": ["d"], "query": "a", "reverse": "yes"}, "reverse must be a boolean"),
        ("/search", {"prefix": ["d"], "query": "a", "where": {"$x": 1}}, ""),
    ],
)
def test_refusals(api: Api, path: str, body: dict[str, Any], message: str) -> None:
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    content = json.dumps(body).encode()
    response = api.send("POST", path, content)
    assert response.status_code == 400
    if "10000000" not in content.decode():  # no number of JSON, so refused as a whole
        assert message in response.json()["error"]


def test_no_query_is_a_server_error(api: Api) -> None:
    for number, tokenize in enumerate(("unicode61", "porter", "ascii", "trigram")):
        api.json("POST", "/indexes", {"prefix": [number], "fields": ["t"], "tokenize": tokenize})
        api.put(f"{number}/1", {"t": 'a word, "a phrase" title: see 日本語 🥑'})

    @given(
        st.lists(st.sampled_from([*PIECES, "\ud800"]), min_size=1, max_size=20).map(" ".join),
        st.integers(0, 3),
        st.booleans(),
    )
    @settings(
        max_examples=share_of(150),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    def ask(query: str, number: int, marked: bool) -> None:
        body = {"prefix": [number], "query": query, "highlight": marked, "snippet": marked}
        assert api.send("POST", "/search", body).status_code in (200, 400)
        if "\ud800" not in query:
            parameters = {"prefix": str(number), "query": query}
            assert api.send("GET", "/search", query=parameters).status_code in (200, 400)

    ask()


def test_a_search_works_at_once_after_a_restart(tmp_path: Path) -> None:
    with live_server(tmp_path) as server, api_of(server.api) as api:
        fill(api)
        api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
        server.kill()
    with live_server(tmp_path) as server, api_of(server.api) as api:
        assert keys(api.json("GET", "/search", query={"prefix": "d", "query": "w3"})) == [3]
        api.put("d/3", {"text": "other"})
        assert api.json("GET", "/search", query={"prefix": "d", "query": "w3"}) == []


def test_an_index_is_finished_after_a_kill(tmp_path: Path) -> None:
    count = 6000
    with live_server(tmp_path) as server, api_of(server.api) as api:
        fill(api, count)
        body = {"prefix": ["d"], "fields": ["text"]}
        building = threading.Thread(target=_post_and_lose, args=(server.api, body))
        building.start()
        deadline = time.monotonic() + PATIENCE
        while not api.json("GET", "/indexes") and time.monotonic() < deadline:
            pass
        server.kill()
        building.join()
    with live_server(tmp_path) as server, api_of(server.api) as api:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            (index,) = api.json("GET", "/indexes")
            if index["ready"]:
                break
            time.sleep(0.02)
        assert (index["ready"], index["documents"], index["entries"]) == (True, count, count)
        for number in (0, 1, 499, 500, 501, count - 1):
            query = {"prefix": "d", "query": f"w{number}"}
            assert keys(api.json("GET", "/search", query=query)) == [number]


def _post_and_lose(base: str, body: dict[str, Any]) -> None:
    with api_of(base) as api, contextlib.suppress(httpx2.HTTPError):  # the server was killed
        api.send("POST", "/indexes", body)


def test_what_an_index_cannot_look_for_is_said(api: Api) -> None:
    api.put("d/1", {"text": "日本語 sugar"})
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    body = {"prefix": ["d"], "query": "日本"}
    page = api.json("POST", "/search/paginate", body)
    assert page["entries"] == []
    (warning,) = page["warnings"]
    assert warning.startswith('"日本": looked for as a whole')
    for answer in (
        api.send("POST", "/search", body),
        api.send("GET", "/search", query={"prefix": "d", "query": "日本"}),
    ):
        assert answer.json() == []
        assert json.loads(answer.headers["x-buntime-warnings"]) == [warning]
    plain = api.send("POST", "/search", {"prefix": ["d"], "query": "sugar"})
    assert "x-buntime-warnings" not in plain.headers


def test_a_fuzzy_search_says_what_it_looked_for(api: Api) -> None:
    api.put("d/1", {"text": "sugar"})
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    for body in (
        {"prefix": ["d"], "query": "sugr", "fuzzy": True},
        {"prefix": ["d"], "query": "sugr", "options": {"fuzzy": True}},
    ):
        page = api.json("POST", "/search/paginate", body)
        assert (keys(page["entries"]), page["searchedFor"]) == ([1], "sugar")
    answer = api.send("GET", "/search", query={"prefix": "d", "query": "sugr", "fuzzy": "true"})
    assert keys(answer.json()) == [1]
    assert json.loads(answer.headers["x-buntime-searched-for"]) == "sugar"
    assert api.json("GET", "/search", query={"prefix": "d", "query": "sugr"}) == []
    assert api.json("GET", "/search", query={"prefix": "d", "query": ""}) == []


def test_a_page_says_how_it_was_found(api: Api) -> None:
    for number, text in enumerate(("running sugar", "sugar süß", "cream"), 1):
        api.put(f"d/{number}", {"text": text, "other": "cream"})
    api.json(
        "POST", "/indexes", {"prefix": ["d"], "fields": ["text", "other"], "tokenize": "porter"}
    )
    body = {"prefix": ["d"], "query": "text:sugar OR run OR cre* NOT nowhere", "explain": True}
    page = api.json("POST", "/search/paginate", body)
    scores = [hit["score"] for hit in page["entries"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    explained = page["explained"]
    assert explained["tokenize"] == "porter"
    plain = {"more": False, "prefix": False, "field": None}
    assert explained["terms"] == [
        {**plain, "text": "sugar", "entries": 2, "field": "text"},
        {**plain, "text": "run", "entries": 1},
        {**plain, "text": "cre", "entries": 3, "prefix": True},
        {**plain, "text": "nowhere", "entries": 0},
    ]
    assert "sugar" in explained["asked"]
    assert len(explained["plan"]) > 1
    # With a filter that the engine knows nothing of, of the next page, and of a fuzzy one.
    where = {"text": {"$containsi": "SÜß"}}
    more = api.json("POST", "/search/paginate", {**body, "where": where, "limit": 1, "fuzzy": True})
    assert keys(more["entries"]) == [2]
    assert more["entries"][0]["score"] > 0
    assert more["explained"]["plan"]
    fuzzy = {"prefix": ["d"], "query": "sugr", "options": {"fuzzy": True, "explain": True}}
    page = api.json("POST", "/search/paginate", fuzzy)
    assert page["explained"]["terms"][0] == {**plain, "text": "sugar", "entries": 2}
    nothing = api.json("POST", "/search/paginate", {"prefix": ["d"], "query": "", "explain": True})
    assert nothing["explained"]["asked"] is None
    assert "explained" not in api.json(
        "POST", "/search/paginate", {"prefix": ["d"], "query": "run"}
    )


def test_only_pages_are_explained(api: Api) -> None:
    api.json("POST", "/indexes", {"prefix": ["d"], "fields": ["text"]})
    answer = api.send("POST", "/search", {"prefix": ["d"], "query": "a", "explain": True})
    assert (answer.status_code, "explain" in answer.json()["error"]) == (400, True)
