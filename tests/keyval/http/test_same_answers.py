"""Whatever engine keeps the store, the same requests have the same answers.

Not equal are what chance and the clock make: versionstamps, ids of messages, times.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import pytest
from keyval.engines import ENGINES, Servers
from support.api import NOTHING, Api, api_of
from support.live import live_server

pytestmark = pytest.mark.slow

ALL = ("sqlite", "libsql", "rqlite", "postgres")
_MADE_UP = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=At\":)\d+")
"""Versionstamps and ids of messages; times."""


class Request(NamedTuple):
    """`#1` in a body stands for the first versionstamp or id that the engine told."""

    method: str
    path: str
    body: Any = NOTHING


def get(path: str) -> Request:
    return Request("GET", path)


def put(path: str, value: Any) -> Request:
    return Request("PUT", f"/keys/{path}", value)


def post(path: str, body: Any) -> Request:
    return Request("POST", path, body)


def delete(path: str) -> Request:
    return Request("DELETE", path)


def listed(**options: Any) -> Request:
    return post("/keys/list", {"prefix": [], **options})


def commit(*mutations: dict[str, Any], checks: tuple[dict[str, Any], ...] = ()) -> Request:
    return post("/atomic", {"checks": list(checks), "mutations": list(mutations)})


def sets(*key: Any, value: Any) -> dict[str, Any]:
    return {"type": "set", "key": list(key), "value": value}


MIXED: list[list[Any]] = [
    ["mixed"],
    ["mixed", ""],
    ["mixed", "\x00"],
    ["mixed", "Z"],
    ["mixed", "a"],
    ["mixed", "\u00e4"],
    ["mixed", "\uffff"],
    ["mixed", "\U0001f600"],
    ["mixed", -7],
    ["mixed", 1.5],
    ["mixed", True],
    ["mixed", False],
    ["mixed", {"__type": "bigint", "value": "123456789012345678901234567890"}],
]
"""Keys of all types, whose order is to be the same."""
PEOPLE: list[Any] = [
    {"name": "Ada", "age": 36, "tags": ["x", "y"], "at": {"city": "Wien"}},
    {"name": "ada", "age": 36.0, "tags": [], "at": {"city": "W\u0130EN"}},
    {"name": "\u00c4da", "age": "36", "tags": None},
    {"name": None, "age": 2**53, "big": {"__type": "bigint", "value": str(2**70)}},
    {"age": -0.5, "name": "A%d_a", "flag": True},
    {"flag": False, "name": "", "age": 1e300},
    "no object",
    [1, 2],
    None,
]
FILTERS: list[dict[str, Any]] = [
    {"age": 36},
    {"age": {"$gt": 1}},
    {"age": {"$gte": -1, "$lt": 40}},
    {"age": {"$ne": 36}},
    {"age": {"$in": [36, "36", None]}},
    {"age": {"$nin": [36]}},
    {"name": {"$eq": None}},
    {"name": {"$empty": True}},
    {"name": {"$notEmpty": True}},
    {"name": {"$contains": "d"}},
    {"name": {"$contains": "%d_"}},
    {"name": {"$containsi": "DA"}},
    {"name": {"$startsWith": "A"}},
    {"name": {"$endsWithi": "A"}},
    {"at.city": {"$containsi": "i"}},
    {"tags": {"$contains": "x"}},
    {"flag": True},
    {"$or": [{"flag": False}, {"$not": {"age": {"$gt": 0}}}]},
    {"name": {"$between": ["A", "b"]}},
    {"big": {"__type": "bigint", "value": str(2**70)}},
    {"a\x00b": 1},
    {"name": {"$like": "x"}},
]

REQUESTS: list[Request] = [
    put("users/1", {"name": "Ada", "n\x00": "\x00 \ud7ff"}),
    get("/keys/users/1"),
    get("/keys/users/1?details=true"),
    get("/keys/nobody"),
    put("bytes", {"__type": "Uint8Array", "value": "AP8="}),
    get("/keys/bytes"),
    put("numbers?expiresIn=1h", [1, 2.0, 1e22, -0.0, 2**60]),
    get("/keys/numbers"),
    put("users/3", b'{"not": json'),
    put("users/3?expiresIn=soon", 1),
    put("a%00b/%F0%9F%98%80", "text"),
    get("/keys/a%00b/%F0%9F%98%80"),
    commit(*(sets(*key, value=number) for number, key in enumerate(MIXED))),
    listed(prefix=["mixed"]),
    listed(prefix=["mixed"], reverse=True, limit=4),
    listed(prefix=["mixed"], start=["mixed", "Z"], end=["mixed", "\uffff"]),
    get("/keys?prefix=mixed&limit=2"),
    get("/keys?limit=0"),
    get("/keys/paginate?prefix=mixed&limit=3"),
    post("/keys/batch", {"keys": [["mixed", 1.5], ["nobody"], ["users", 1]]}),
    get("/keys/count?prefix=mixed"),
    commit(sets("checked", value=1), checks=({"key": ["checked"], "versionstamp": None},)),
    commit(sets("checked", value=2), checks=({"key": ["checked"], "versionstamp": None},)),
    commit(sets("checked", value=3), checks=({"key": ["users", 1], "versionstamp": "#1"},)),
    get("/keys/checked"),
    commit({"type": "sum", "key": ["sum"], "value": 2**53}),
    commit({"type": "sum", "key": ["sum"], "value": 1}),
    get("/keys/sum"),
    commit({"type": "max", "key": ["sum"], "value": 5}),
    commit({"type": "append", "key": ["list"], "value": ["a", "\x00"]}),
    commit({"type": "prepend", "key": ["list"], "value": ["b"]}),
    get("/keys/list"),
    commit({"type": "sum", "key": ["list"], "value": 1}),
    commit({"type": "append", "key": ["sum"], "value": [1]}, sets("never", value=1)),
    commit({"type": "unknown", "key": ["sum"]}),
    get("/keys/never"),
    commit(*(sets("people", number, value=value) for number, value in enumerate(PEOPLE))),
    *(listed(prefix=["people"], where=where, limit=50) for where in FILTERS),
    post("/keys/count", {"prefix": ["people"], "where": {"age": {"$gt": 0}}}),
    post("/keys/delete-batch", {"keys": [["people", 0], ["people", 77]]}),
    post("/keys/delete-batch", {"keys": [["people"]], "where": {"flag": True}}),
    delete("/keys/mixed?exact=true"),
    delete("/keys/mixed"),
    delete("/keys/mixed"),
    post("/transaction", {"reads": [["users", 1], ["nobody"]]}),
    post("/transaction", {"reads": [["sum"]], "mutations": [sets("of", "both", value=1)]}),
    post("/queue/enqueue", {"value": {"m\x00": 1}}),
    post("/queue/enqueue", {"value": 1, "options": {"delay": "1h"}}),
    post("/queue/enqueue", {"value": 1, "options": {"delay": -1}}),
    get("/queue/stats"),
    get("/queue/poll"),
    get("/queue/poll"),
    post("/queue/ack", {"id": "nobody"}),
    post("/queue/ack", {"id": "#16"}),
    get("/queue/stats"),
    get("/queue/dlq"),
    get("/watch/poll?keys=users/1"),
    post("/queue/enqueue", {"value": 2, "options": {"keysIfUndelivered": [["undelivered"]]}}),
    get("/keys/undelivered"),
    put("k" * 1025, 1),
    put("/".join("k" * 21), 1),
    delete("/indexes?prefix=posts"),
    post("/search", {"prefix": ["posts"], "query": "x"}),
    get("/indexes"),
    get("/health"),
    Request("PATCH", "/keys/users/1", {}),
    get("/no/such/route"),
    listed(),
]


@pytest.fixture(scope="module")
def apis(
    database_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Api]]:
    """An empty store on each engine."""
    with ExitStack() as stack:
        found = {}
        for name in ALL:
            engine = ENGINES[name](database_servers)
            engine.empty_hosts()
            config = engine.host_config({}, one_view=True)
            folder = tmp_path_factory.mktemp(name)
            server = stack.enter_context(live_server(folder, config))
            found[name] = stack.enter_context(api_of(server.api))
        yield found


def answers(api: Api) -> list[str]:
    """Each request with its answer, and what was made up by its number."""
    known: dict[str, str] = {}
    return [
        f"{number} {request[:2]} {_answer(api, request, known)}"
        for number, request in enumerate(REQUESTS)
    ]


def _answer(api: Api, request: Request, known: dict[str, str]) -> str:
    body = request.body
    if body is not NOTHING and not isinstance(body, bytes):
        text = json.dumps(body)
        for made_up, name in known.items():
            text = text.replace(f'"{name}"', f'"{made_up}"')
        body = text.encode()
    response = api.send(request.method, request.path, body)
    kind = response.headers.get("content-type")
    said = _MADE_UP.sub(
        lambda found: known.setdefault(found[0], f"#{len(known) + 1}"), response.text
    )
    return f"{response.status_code} {kind} {said}"


def test_all_engines_answer_alike(apis: dict[str, Api]) -> None:
    embedded, *others = ((name, answers(api)) for name, api in apis.items())
    differing = [
        f"{name}: {got}\n{embedded[0]}: {wanted}"
        for name, found in others
        for got, wanted in zip(found, embedded[1], strict=True)
        if got != wanted
    ]
    assert not differing, "\n\n".join(differing)
