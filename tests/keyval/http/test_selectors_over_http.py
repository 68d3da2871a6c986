"""Selectors over HTTP: the same as in process, in queries and in bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql", "postgres")

KEYS: list[list[Any]] = [["user"], ["user", 1], ["users", "ada"], ["users", "bob"], ["uses"]]


def fill(api: Api) -> None:
    kinds: list[dict[str, Any]] = [{"entryType": "A"}, {"entryType": "B"}, {}]
    api.mutate(
        *[
            {"type": "set", "key": key, "value": {"n": n}, **kinds[n % 3]}
            for n, key in enumerate(KEYS)
        ]
    )


def keys_of(entries: Any) -> list[Any]:
    return [entry["key"] for entry in entries]


CASES: list[tuple[dict[str, Any], list[Any]]] = [
    ({"startsWith": ["user"]}, KEYS[:4]),
    ({"startsWith": ["user"], "start": ["user", 1], "end": ["users", "b"]}, KEYS[1:3]),
    ({"prefixes": [["users"], ["user"]]}, KEYS[1:4]),
    ({"prefixes": [["user"], ["users", "ada"]]}, KEYS[1:2]),
    ({"start": ["users"]}, KEYS[2:]),
    ({"offset": 3}, KEYS[3:]),
    ({"type": "A"}, [KEYS[0], KEYS[3]]),
    ({"type": "B", "startsWith": ["us"]}, [KEYS[1], KEYS[4]]),
    ({"type": "B", "prefixes": [["users"], ["user"]]}, KEYS[1:2]),
    ({"type": "A", "offset": 1}, KEYS[3:4]),
    ({"type": "C"}, []),
    ({"pattern": ["users", {"$any": True}]}, KEYS[2:4]),
    ({"pattern": "*/ada"}, KEYS[2:3]),
    ({"pattern": [{"$any": True}], "type": "A"}, KEYS[:1]),
    ({"pattern": [{"$any": True}, {"$any": True}], "start": ["users"], "offset": 1}, KEYS[3:4]),
    ({"pattern": "%2A/ada"}, []),
]


def test_every_route_of_ranges_takes_them(api: Api) -> None:
    fill(api)
    for selectors, wanted in CASES:
        query = {
            name: it if isinstance(it, str) else json.dumps(it) for name, it in selectors.items()
        }
        assert keys_of(api.json("GET", "/keys", query=query)) == wanted
        assert keys_of(api.json("POST", "/keys/list", selectors)) == wanted
        turned = api.json("POST", "/keys/list", {**selectors, "reverse": True, "limit": 1})
        if "offset" not in selectors:
            assert keys_of(turned) == wanted[-1:]
        assert api.json("GET", "/keys/count", query=query) == {"count": len(wanted)}
        most = api.json("POST", "/keys/count", {**selectors, "limit": 1})
        assert most == {"count": len(wanted[:1])}
        page = api.json("POST", "/keys/paginate", {**selectors, "limit": 1})
        found = keys_of(page["entries"])
        rest = {name: it for name, it in selectors.items() if name != "offset"}
        while page["hasMore"]:
            more = {**rest, "limit": 1, "cursor": page["cursor"]}
            page = api.json("POST", "/keys/paginate", more)
            found += keys_of(page["entries"])
        assert found == wanted


def test_what_selects_can_be_deleted(api: Api) -> None:
    fill(api)
    assert api.json("DELETE", "/keys", query={"startsWith": "users/a"}) == {"deletedCount": 1}
    first = {"start": "user", "end": "users", "limit": "1", "offset": "1"}
    assert api.json("DELETE", "/keys", query=first) == {"deletedCount": 1}
    assert api.keys() == [KEYS[0], KEYS[3], KEYS[4]]
    body = {"prefixes": [["user"], ["users"]], "where": {"n": 3}}
    assert api.json("DELETE", "/keys", body) == {"deletedCount": 1}
    assert api.keys() == [KEYS[0], KEYS[4]]
    assert api.json("DELETE", "/keys", query={"pattern": "user/*"}) == {"deletedCount": 0}
    assert api.json("DELETE", "/keys", query={"type": "B"}) == {"deletedCount": 1}
    assert api.json("DELETE", "/keys", {"type": "A", "where": {"n": 5}}) == {"deletedCount": 0}
    assert api.keys() == [KEYS[0]]


@pytest.mark.parametrize(
    ("method", "path", "body", "message"),
    [
        ("POST", "/keys/list", {"prefix": ["a"], "startsWith": ["b"]}, "Say one of prefix"),
        ("POST", "/keys/list", {"startsWith": [1]}, "must end with a text"),
        ("POST", "/keys/list", {"prefix": ["a"], "pattern": ["b"]}, "Say one of prefix"),
        ("POST", "/keys/list", {"pattern": [{"$any": 1}]}, "Invalid pattern part at index 0"),
        ("POST", "/keys/list", {"prefix": [{"$any": True}]}, "Invalid key part at index 0"),
        ("POST", "/keys/paginate", {"pattern": "a/*", "snapshot": True}, "leave out snapshot, or"),
        ("DELETE", "/keys", {"pattern": ["a"], "exact": True}, "exact is for keys"),
        ("POST", "/keys/paginate", {"offset": 1, "snapshot": True}, "A snapshot is of one range"),
        ("POST", "/keys/paginate", {"offset": 1, "cursor": "AmEA"}, "offset is for the first page"),
        ("DELETE", "/keys", {"start": ["a"]}, "name what to delete"),
        ("DELETE", "/keys", {"limit": 1}, "name what to delete"),
        ("DELETE", "/keys", {"type": ""}, "type must be a text of 1 to 256"),
        ("POST", "/keys/list", {"type": 1}, "type must be a text"),
        ("DELETE", "/keys", {"startsWith": ["a"], "exact": True}, "exact is for keys"),
        ("DELETE", "/keys", {"startsWith": [""]}, "Every text begins with an empty one"),
        ("DELETE", "/keys", {"prefix": ["a"], "offset": "1"}, "offset must be a number"),
        ("DELETE", "/keys", {"prefix": ["a"], "limit": "1"}, "limit must be a number"),
        ("POST", "/keys/count", {"prefix": ["a"], "limit": "1"}, "limit must be a number"),
        ("DELETE", "/keys/a", {"exact": True, "ifRevision": "1"}, "ifRevision must be a number"),
    ],
)
@pytest.mark.engines("sqlite")
def test_what_means_nothing_is_refused(
    api: Api, method: str, path: str, body: Any, message: str
) -> None:
    response = api.send(method, path, content=json.dumps(body).encode())
    assert response.status_code == 400
    assert message in response.json()["error"]
