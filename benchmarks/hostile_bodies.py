"""What strangers send to KeyVal in the group `stall`: bodies within the limits that are work.

Each row is one request, which one connection sends again and again, reading the answers.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from client import Request
from hostile import Hostile, whole

BYTES = 9_900_000
"""Just below what the host takes."""

KEY = ["stall", "body"]
PATH = "/keyval/api/keys/stall/body"
ATOMIC = "/keyval/api/atomic"


def _again(method: str, path: str, body: bytes) -> Callable[[str], Iterable[bytes]]:
    return lambda netloc: itertools.repeat(whole(method, path, netloc, body))


def _put(name: str, title: str, body: bytes) -> Hostile:
    return Hostile(name, f"PUT {title}", _again("PUT", PATH, body), reads=True)


def _filled(item: bytes) -> bytes:
    return b"[" + item * (BYTES // len(item)) + b"0]"


def _named() -> bytes:
    return b"{" + b",".join(b'"%x":1' % number for number in range(BYTES // 10)) + b"}"


def _post(name: str, title: str, path: str, body: Any, prepare: Iterable[Request] = ()) -> Hostile:
    text = body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()
    return Hostile(name, title, _again("POST", path, text), reads=True, prepare=tuple(prepare))


def _atomic(name: str, title: str, *mutations: Any, prepare: Iterable[Request] = ()) -> Hostile:
    return _post(name, f"atomic with {title}", ATOMIC, {"mutations": mutations}, prepare)


def _bigint(digits: int) -> dict[str, str]:
    return {"__type": "bigint", "value": "9" * digits}


def _sets(number: int) -> Iterator[dict[str, Any]]:
    return ({"type": "set", "key": [*KEY, index], "value": index} for index in range(number))


def _poll() -> Hostile:
    prefixes = [["stall", "poll", number] for number in range(1_000)]
    stamp = "0198c2a0-0000-7000-8000-000000000000"
    told = ",".join(f"stall/poll/{n % 1_000}/{n}:{stamp}" for n in range(20_000))
    body = {"prefixes": prefixes, "versionstamps": told}
    path = "/keyval/api/watch/prefix/poll"
    return _post("poll", "a poll of 1,000 prefixes with 20,000 versionstamps", path, body)


LONG = Request("PUT", "/keys/stall/body", json.dumps(["x" * 1_000] * 8_000))
DEEP = b"[" + (b"[" * 200 + b"]" * 200 + b",") * (BYTES // 401) + b"0]"
NOW = b'{"$now":true},'

BODIES = (
    _put("bigint", "a bigint of 400,000 digits", json.dumps(_bigint(400_000)).encode()),
    _put(
        "bigints", "bigints of 10,000 digits", _filled(json.dumps(_bigint(10_000)).encode() + b",")
    ),
    _put("floats", "9.9 MB of [1.0]", _filled(b"[1.0],")),
    _put("objects", '9.9 MB of {"a":1.0}', _filled(b'{"a":1.0},')),
    _put("arrays", "9.9 MB of []", _filled(b"[],")),
    _put("times", "9.9 MB of $now, which grow too large", _filled(NOW)),
    _put("members", "an object of a million members", _named()),
    _put("deep", "9.9 MB of 200 levels", DEEP),
    _put("escapes", "9.9 MB of escapes", b'"' + b"\\n" * (BYTES // 2) + b'"'),
    _put("text", "a text of 9.9 MB", b'"' + b"v" * BYTES + b'"'),
    _post(
        "enqueue",
        "enqueue of 9.9 MB of []",
        "/keyval/api/queue/enqueue",
        b'{"value":%b}' % _filled(b"[],"),
    ),
    _atomic(
        "appends",
        "2,000 appends to 8 MB",
        *({"type": "append", "key": KEY, "value": [number]} for number in range(2_000)),
        prepare=[LONG],
    ),
    _atomic("sets", "150,000 sets, which are too many", *_sets(150_000)),
    _atomic("most-sets", "10,000 sets, which are the most", *_sets(10_000)),
    _atomic(
        "deletes",
        "200,000 deletes, which are too many",
        *([{"type": "delete", "key": KEY}] * 200_000),
    ),
    _post(
        "checks",
        "atomic with 180,000 checks, which are too many",
        ATOMIC,
        {"checks": [{"key": KEY}] * 180_000},
    ),
    _post(
        "most-checks",
        "atomic with 10,000 checks, which are the most",
        ATOMIC,
        {"checks": [{"key": [*KEY, n], "versionstamp": None} for n in range(10_000)]},
    ),
    _atomic(
        "sums",
        "400 sums of 10,000 digits",
        *({"type": "max", "key": KEY, "value": _bigint(10_000)} for _ in range(400)),
        prepare=[Request("PUT", "/keys/stall/body", "1")],
    ),
    _post(
        "filters",
        "600,000 empty filters",
        "/keyval/api/keys/list",
        b'{"where":{"$and":[%b{}]}}' % (b"{}," * 600_000),
    ),
    _post(
        "lists",
        "10 $in of 1,000 elements, which are the most",
        "/keyval/api/keys/list",
        {"where": {"$or": [{"a": {"$in": list(range(1_000))}}] * 10}},
    ),
    _poll(),
)
