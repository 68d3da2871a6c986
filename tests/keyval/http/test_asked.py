"""What a request asks for is known, whole, before anything of it runs."""

from __future__ import annotations

import json
from asyncio import Future
from typing import Any

import pytest
from buntime_host import DirectRequest
from buntime_keyval.wire import InvalidInput, encode_key
from buntime_plugin_keyval.faces.http.app import KeyValApp
from buntime_plugin_keyval.faces.http.routes import StoreRoutes
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Request
from buntime_plugin_keyval.service import FEATURES
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, subtree
from keyval.service.world import World

A, B = encode_key(("a",)), encode_key(("b", 1))
NO_KEYS = Keys()
EVERYTHING = descendants(b"")
TABLE = StoreRoutes(FEATURES)


def asked(world: World, method: str, path: str, body: Any = None, *, query: str = "") -> Asked:
    """What a request asks for; nothing runs."""
    content = b"" if body is None else json.dumps(body).encode()
    raw = path.encode()
    route = TABLE.find(raw, method)[method]
    given = route.read(query.encode(), content)
    source = DirectRequest(method, b"/api" + raw, query.encode(), [])
    request = Request(raw, given, content, False, source)
    found: Asked = route.ask(world.service, request)
    return found


def keys(*encoded: bytes) -> Keys:
    return Keys(list(encoded))


def ranges(*given: KeyRange) -> Keys:
    return Keys(ranges=list(given))


def same(found: Keys, wanted: Keys) -> bool:
    return (list(found.keys), list(found.ranges)) == (list(wanted.keys), list(wanted.ranges))


PUT_UUID = {"type": "set", "key": ["b", {"$uuidv7": True}], "value": 1}
ENQUEUE = {"type": "enqueue", "value": 1, "keysIfUndelivered": [["b", 1]]}
FILTER = {"$or": [{"a": 1}, {"$not": {"b": {"$gt": 1, "$lt": 5}}}]}
CASES: list[tuple[Any, str, str, Keys, Keys, Cost]] = [
    (("GET", "/keys/a"), "get", "read", keys(A), NO_KEYS, Cost(1)),
    (("PUT", "/keys/a", 1), "set", "write", NO_KEYS, keys(A), Cost(1)),
    (("DELETE", "/keys/a"), "delete", "write", NO_KEYS, ranges(subtree(A)), Cost(None)),
    (
        ("DELETE", "/keys/a", {"exact": True, "where": FILTER}),
        "delete",
        "write",
        keys(A),
        keys(A),
        Cost(1, 3),
    ),
    (
        ("POST", "/keys/delete-batch", {"keys": [["a"], ["b", 1]]}),
        "delete",
        "write",
        NO_KEYS,
        ranges(subtree(A), subtree(B)),
        Cost(None),
    ),
    (
        (
            "POST",
            "/keys/set-batch",
            {"sets": [{"key": ["a"], "value": 1}, {"key": []}, {"key": ["b", 1], "value": 2}]},
        ),
        "set",
        "write",
        NO_KEYS,
        keys(A, B),
        Cost(3),
    ),
    (("GET", "/keys"), "list", "read", ranges(EVERYTHING), NO_KEYS, Cost(100)),
    (
        ("POST", "/keys/list", {"prefix": ["a"], "limit": 5000}),
        "list",
        "read",
        ranges(descendants(A)),
        NO_KEYS,
        Cost(1000),
    ),
    (
        ("POST", "/keys/list", {"start": ["a"], "end": ["b", 1], "where": FILTER}),
        "list",
        "read",
        ranges(KeyRange(A, B)),
        NO_KEYS,
        Cost(None, 3),
    ),
    (("GET", "/keys/count"), "count", "read", ranges(EVERYTHING), NO_KEYS, Cost(None)),
    (
        ("POST", "/keys/batch", {"keys": [["a"], ["b", 1]]}),
        "get",
        "read",
        keys(A, B),
        NO_KEYS,
        Cost(2),
    ),
    (
        (
            "POST",
            "/atomic",
            {
                "checks": [{"key": ["a"], "versionstamp": None}],
                "mutations": [PUT_UUID, ENQUEUE, {"type": "delete", "key": ["a"]}],
            },
        ),
        "atomic",
        "write",
        keys(A),
        Keys([B, A], [subtree(encode_key(("b",)))]),
        Cost(4),
    ),
    (
        ("POST", "/transaction", {"reads": [["a"]]}),
        "transaction",
        "read",
        keys(A),
        NO_KEYS,
        Cost(1),
    ),
    (
        ("POST", "/queue/enqueue", {"value": 1, "options": {"keysIfUndelivered": [["a"]]}}),
        "queue_enqueue",
        "write",
        NO_KEYS,
        keys(A),
        Cost(1),
    ),
    (("GET", "/queue/poll"), "queue_dequeue", "write", NO_KEYS, NO_KEYS, Cost(1)),
    (
        ("POST", "/indexes", {"prefix": ["a"], "fields": ["t"]}),
        "index_create",
        "admin",
        ranges(subtree(A)),
        NO_KEYS,
        Cost(None),
    ),
    (
        ("POST", "/search", {"prefix": ["a"], "query": "x", "options": {"where": FILTER}}),
        "search",
        "read",
        ranges(subtree(A)),
        NO_KEYS,
        Cost(None, 3),
    ),
    (
        ("POST", "/watch/poll", {"keys": [["a"], "b/1"]}),
        "watch_poll",
        "read",
        keys(A, B),
        NO_KEYS,
        Cost(2),
    ),
    (
        ("POST", "/watch/prefix/poll", {"prefixes": ["a"]}),
        "watch_poll",
        "read",
        ranges(subtree(A)),
        NO_KEYS,
        Cost(None),
    ),
    (("POST", "/vacuum", {"limit": 7}), "vacuum", "admin", NO_KEYS, NO_KEYS, Cost(7)),
]


@pytest.mark.parametrize(
    ("request_", "operation", "access", "reads", "writes", "cost"),
    CASES,
    ids=[" ".join(case[0][:2]) for case in CASES],
)
async def test_it_says_what_it_touches(
    world: World,
    request_: Any,
    operation: str,
    access: str,
    reads: Keys,
    writes: Keys,
    cost: Cost,
) -> None:
    found = asked(world, *request_)
    assert (found.operation, found.access, found.cost) == (operation, access, cost)
    assert same(found.reads, reads)
    assert same(found.writes, writes)


async def test_nothing_has_run_before_it_is_run(world: World) -> None:
    put = asked(world, "PUT", "/keys/a", 5)
    assert await world.service.store.get(A) is None
    ran = put.run()
    assert isinstance(ran, Future)
    await ran
    assert await world.service.store.get(A) is not None


async def test_a_key_of_a_placeholder_alone_may_be_any(world: World) -> None:
    mutation = {"type": "set", "key": [{"$uuidv7": True}], "value": 1}
    found = asked(world, "POST", "/atomic", {"mutations": [mutation]})
    assert same(found.writes, ranges(EVERYTHING))


async def test_all_of_a_request_is_read_first(world: World) -> None:
    good = {"type": "set", "key": ["a"], "value": 1}
    with pytest.raises(InvalidInput):
        asked(world, "POST", "/atomic", {"mutations": [good], "more": 1})
    with pytest.raises(InvalidInput):
        asked(world, "PUT", "/keys/a", 1, query="ttl=5")


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/api/keys/users/1", "/api/keys/{key}"),
        ("HEAD", "/api/keys/a", "/api/keys/{key}"),
        ("PUT", "/api/keys/count", "/api/keys/{key}"),
        ("GET", "/api/keys/count", "/api/keys/count"),
        ("DELETE", "/api/keys", "/api/keys"),
        ("POST", "/api/queue/dlq/some-id/requeue", "/api/queue/dlq/{id}/requeue"),
        ("POST", "/api/queue/dlq/some-id/nothing", None),
        ("POST", "/api/keys/a", None),
        ("GET", "/api/nothing", None),
        ("GET", "/elsewhere", None),
    ],
)
def test_which_route_a_request_is_for(method: str, path: str, route: str | None) -> None:
    assert KeyValApp().route_of(method, path.encode()) == route
