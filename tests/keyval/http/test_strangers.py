"""Whatever arrives at any route of KeyVal or the host, the answer is one that they have in mind.

No 5xx but 503 with its reason, no hang, no other form than JSON where an error is told, nothing
unexpected in the log, and at the end it still works. The requests come from the tables of routes
and their declared shapes, so a new route is tried without a word here. `FUZZ_REQUESTS` asks for
more than the usual number of requests, `FUZZ_SEED` for others; `-rP` says how often each status
was answered:

    FUZZ_REQUESTS=200000 scripts/test tests/keyval/http/test_strangers.py --timeout 0 -rP
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import quote

import pytest
from buntime_host.routes.core_routes import CoreRoutes
from buntime_keyval import Kv
from buntime_plugin_keyval.faces.http.routes import KEY, StoreRoutes
from buntime_plugin_keyval.requests.asked import AnyRoute
from buntime_plugin_keyval.requests.shape import MemberPlace, members_of
from buntime_plugin_keyval.service import FEATURES
from support.asker import Asker
from support.live import LiveServer, live_server
from support.mutations import Mutator

pytestmark = pytest.mark.slow

REQUESTS = int(os.environ.get("FUZZ_REQUESTS", "17000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))

CORE: Any = CoreRoutes(
    cast(Any, SimpleNamespace(keys=None, gate=None, signed=None)), api="/api", homepage=""
)
HOST_PATHS = (
    *CORE._public,
    *CORE._private,
    "/api",
    "/nothing",
    "/_/plugin-keyval/keys/a",
    "/keyval",
    "/keyval/",
    "/keyval/api",
    "/keyval/nothing",
    "/keyval/api/x",
)
METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "LOCK")

KEYS: tuple[Any, ...] = (
    ["a"],
    ["a", 1],
    ["a", "b", True],
    ["a", -1.5],
    [{"__type": "bigint", "value": "99999999999999999999"}],
    ["list"],
    ["count"],
    ["é/ü", ""],
    ["x" * 1024],
    list(range(20)),
    [{"$uuidv7": True}],
    [{"__type": "uint8array", "value": "AAE="}],
)
PATHS = (
    "a",
    "a/1",
    "a/b",
    "list",
    "batch",
    "007",
    "a%2Fb",
    "%00",
    "%ff",
    "%",
    "//",
    "a/../b",
    "x" * 1100,
    "/".join("abcdefghijklmnopqrstuvwxyz"),
    "%5B%22a%22%5D",
    "a?",
    "caf%C3%A9",
    "",
)
VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    1.0,
    1e21,
    2**60,
    "text",
    "",
    [],
    {},
    [1, 2],
    {"a": {"b": [1]}},
    {"$now": True},
    {"__type": "bigint", "value": "123456789012345678901234567890"},
    {"__type": "uint8array", "value": "AA=="},
    {"$now": True, "$offset": 10**18},
    [[[[[]]]]],
    "\ud800",
    {"__type": "bigint", "value": "x"},
)
FILTERS: tuple[Any, ...] = (
    {},
    {"a": 1},
    {"a": {"$gte": 1}},
    {"$or": [{"a": {"$in": [1, "x", None]}}, {"b.c[0]": {"$null": True}}]},
    {"$not": {"a": {"$containsi": "É"}}},
    {"$": {"$between": [1, 2]}},
    {"a": {"$what": 1}},
    {"$or": []},
    {"a[#-1]": {"$empty": False}},
    {'"a.b"': {"$startsWith": ""}},
    {"a": {"b": 1}},
)
MUTATIONS: tuple[Any, ...] = (
    {"type": "set", "key": ["a", 1], "value": 1, "expiresIn": 5000},
    {"type": "delete", "key": ["a"]},
    {"type": "sum", "key": ["n"], "value": 1},
    {"type": "append", "key": ["l"], "value": [1]},
    {"type": "max", "key": ["n"], "value": "0x10"},
    {"type": "enqueue", "value": 1, "delay": "1s"},
    {"type": "set", "key": ["u", {"$uuidv7": True}], "value": {"$now": True}},
    {"type": "what", "key": ["a"]},
    {"type": "sum", "key": ["a", 1], "value": {"__type": "bigint", "value": "-7"}},
)
WORDS: tuple[Any, ...] = (
    "a",
    "5",
    "1s",
    "true",
    "false",
    "1.5 hours",
    "-1",
    "0",
    "1001",
    "NaN",
    "1e400",
    "[1]",
    '["a"]',
    "[]",
    "é",
    "\x00",
    "a,b",
    "a/1,b",
    ",",
    "%",
    "x" * 3000,
    "",
    "AnVzZXJz",
    "null",
    "unicode61",
    "json",
    "strong",
)
BY_NAME: dict[str, tuple[Any, ...]] = {
    "where": FILTERS,
    "value": VALUES,
    "metadata": VALUES,
    "mutations": tuple([mutation] * count for mutation in MUTATIONS for count in (1, 2)),
    "checks": ([{"key": ["a"], "versionstamp": None}], [{"key": ["a"]}], [{}]),
    "keys": ([["a"], ["a", 1]], [["a"]] * 3, [], "a"),
    "reads": ([["a"], ["n"]], [[]]),
    "prefixes": ([["a"]], [["a"], ["b"]]),
    "fields": (["a"], ["a.b", "c[0]"], []),
    "versionstamps": ("", [], ["", "x"], "a:x"),
    "highlight": (True, ["[", "]"], {"escape": "html"}),
    "weights": ({"a": 2}, {"x": 1}),
    "backoffSchedule": ([], ["1s", 5], [-1]),
    "query": ("word", "a OR (b", '"x', "日本", ""),
}
KEYLIKE = ("key", "prefix", "start", "end", "keysIfUndelivered")


def routes() -> list[tuple[str, str, AnyRoute]]:
    """Method, path and what is taken, of every route of the store."""
    paths = {**StoreRoutes(FEATURES).paths, "/keys/{key}": KEY}
    return [(method, path, one) for path, ways in paths.items() for method, one in ways.items()]


class Stranger:
    """Makes requests, the same ones for the same seed."""

    def __init__(self, seed: int) -> None:
        self.mutator = Mutator(seed)
        self.random = self.mutator.random
        self.choice = self.random.choice
        self.routes = routes()

    def request(self) -> tuple[str, str, bytes | None, dict[str, str]]:
        """Method, path with query, body, headers."""
        if self.random.random() < 0.1:
            method, path = self.choice(METHODS), self.choice(HOST_PATHS)
            return method, path + self.query([]), self.choice((None, b"{}", b"\xff")), {}
        method, path, route = self.choice(self.routes)
        if self.random.random() < 0.03:
            method = self.choice(METHODS)
        path = path.replace("{key}", self.choice(PATHS)).replace(
            "{id}", self.choice(("x", "%00", "é%"))
        )
        path = quote(path, safe="/%?")
        names = list(members_of(route.shape))
        body = None
        if route.place is MemberPlace.BESIDE_VALUE:
            body = self.mutator.body(self.choice(VALUES))
        elif route.has_body or self.random.random() < 0.1:
            members = {name: self.member(name) for name in names if self.random.random() < 0.6}
            body = self.mutator.body(members)
        in_query = route.place in (MemberPlace.QUERY, MemberPlace.EITHER, MemberPlace.BESIDE_VALUE)
        query = self.query(names if in_query else [])
        return method, f"/keyval/api{path}{query}", body, self.headers()

    def member(self, name: str) -> Any:
        """Something for a member of a body, often of the right kind."""
        if self.random.random() < 0.1:
            return self.choice(VALUES)
        if name in BY_NAME:
            return self.choice(BY_NAME[name])
        if name in KEYLIKE:
            return self.choice(KEYS)
        return self.choice((*WORDS, 1, 10, True, False))

    def query(self, names: list[str]) -> str:
        """Some parameters, a few of them unknown, doubled, or not encoded."""
        pairs = [(name, self.parameter(name)) for name in names if self.random.random() < 0.4]
        if self.random.random() < 0.1:
            pairs.append((self.choice(("x", "limti", "", "prefix", "a[b]")), self.choice(WORDS)))
        if pairs and self.random.random() < 0.05:
            pairs.append(pairs[0])
        if not pairs:
            return ""
        safe = "%+[]{}\"'" if self.random.random() < 0.1 else ""
        return "?" + "&".join(f"{quote(name)}={quote(text, safe=safe)}" for name, text in pairs)

    def parameter(self, name: str) -> str:
        """A member as the text of a parameter."""
        given = self.member(name)
        return (
            given.encode("utf-8", "replace").decode()
            if isinstance(given, str)
            else json.dumps(given)
        )

    def headers(self) -> dict[str, str]:
        """Mostly none."""
        if self.random.random() < 0.8:
            return {}
        return self.choice(
            [
                {"content-type": "text/plain"},
                {"content-type": "application/json; charset=latin-1"},
                {"content-encoding": "gzip"},
                {"content-encoding": "br"},
                {"origin": "http://evil.example"},
                {"sec-fetch-site": "cross-site"},
                {"last-event-id": self.choice(("1", "x", "9" * 30))},
                {"accept": "text/html"},
                {"idempotency-key": self.choice(("k1", "k2", "", "x" * 300))},
                {"x-request-id": self.choice(("abc", "ä", ""))},
                {"x-buntime-position": self.choice(("1", "x"))},
                {"range": "bytes=0-1"},
                {"expect": "100-continue"},
                {"if-match": "x"},
            ]
        )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("strangers")) as running:
        yield running


def test_every_route(server: LiveServer) -> None:
    stranger = Stranger(SEED)
    asker = Asker(server.url)
    statuses: dict[int, int] = {}
    for number in range(REQUESTS):
        method, target, body, headers = stranger.request()
        status, answered, content = asker.ask(method, target, body, headers)
        statuses[status] = statuses.get(status, 0) + 1
        asked = f"request {number}: {method} {target:.300} {body!r:.500} {headers}"
        shown = f"{asked}: {status} {content!r:.500}"
        assert status < 500 or status == 503 or (status == 501 and "if-match" in headers), shown
        if status >= 400 and method != "HEAD":
            assert answered.get("content-type") == "application/json", shown
            told = json.loads(content)
            assert isinstance(told["error"], str), shown
            assert told["error"], shown
    asker.close()
    print("Statuses:", sorted(statuses.items()))
    assert statuses[200] > REQUESTS // 10, statuses  # they are not all refused at the door
    assert statuses[400] > REQUESTS // 10, statuses
    with Kv(server.api) as kv:
        kv.set(["alive"], True)
        assert kv.get(["alive"]).value is True
    told = [json.loads(line) for line in server.lines if line.startswith("{")]
    failures = [line for line in told if line.get("level") in ("error", "critical")]
    assert failures == []
