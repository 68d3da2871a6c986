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

MOST_COMMIT_MS = 200
"""What another client may wait for a single commit of the largest size that is allowed."""

MOST_WRITE_MS = 5_500
"""What its writes may wait for a transaction from outside: as long as that may last."""

KEY = ["stall", "body"]
PATH = "/keyval/api/keys/stall/body"
ATOMIC = "/keyval/api/atomic"


def _again(method: str, path: str, body: bytes) -> Callable[[str], Iterable[bytes]]:
    return lambda netloc: itertools.repeat(whole(method, path, netloc, body))


def _put(name: str, title: str, body: bytes, *, is_stored: bool = True) -> Hostile:
    most = MOST_COMMIT_MS if is_stored else None
    send = _again("PUT", PATH, body)
    return Hostile(name, f"PUT {title}", send, reads=True, most_write_ms=most)


def _filled(item: bytes) -> bytes:
    return b"[" + item * (BYTES // len(item)) + b"0]"


def _named() -> bytes:
    return b"{" + b",".join(b'"%x":1' % number for number in range(BYTES // 10)) + b"}"


def _post(name: str, title: str, path: str, body: Any, prepare: Iterable[Request] = ()) -> Hostile:
    send = _again("POST", path, _text(body))
    return Hostile(name, title, send, reads=True, prepare=tuple(prepare))


def _text(body: Any) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body, separators=(",", ":")).encode()


def _atomic(
    name: str,
    title: str,
    *mutations: Any,
    prepare: Iterable[Request] = (),
    checks: Iterable[Any] = (),
    is_done: bool = False,
) -> Hostile:
    body = {"mutations": mutations, "checks": [*checks]}
    row = _post(name, f"atomic with {title}", ATOMIC, body, prepare)
    return row._replace(most_ms=MOST_COMMIT_MS) if is_done else row


def _bigint(digits: int, digit: str = "9") -> dict[str, str]:
    return {"__type": "bigint", "value": digit * digits}


def _sets(number: int) -> Iterator[dict[str, Any]]:
    return ({"type": "set", "key": [*KEY, index], "value": index} for index in range(number))


def _poll() -> Hostile:
    prefixes = [["stall", "poll", number] for number in range(1_000)]
    stamp = "0198c2a0-0000-7000-8000-000000000000"
    told = ",".join(f"stall/poll/{n % 1_000}/{n}:{stamp}" for n in range(20_000))
    body = {"prefixes": prefixes, "versionstamps": told}
    path = "/keyval/api/watch/prefix/poll"
    return _post("poll", "a poll of 1,000 prefixes with 20,000 versionstamps", path, body)


def _filters(name: str, title: str, number: int) -> Hostile:
    body = b'{"where":{"$and":[%b{}]}}' % (b"{}," * number)
    return _post(name, title, "/keyval/api/keys/list", body)


def _scan(name: str, title: str, method: str, path: str) -> Hostile:
    """A thousand conditions over 20,000 entries, of somebody who leaves before the answer."""
    where = {"$or": [{"text": {"$containsi": f"{n} is missing"}} for n in range(1_000)]}
    return Hostile(
        name,
        f"{title} by 1,000 $containsi over 20,000 entries, of clients that leave after 2 s",
        _again(method, path, _text({"where": where})),
        connections=4,
        reads=True,
        again=True,
        prepare=[
            Request("POST", "/atomic", _text({"mutations": list(_texts(start))}).decode())
            for start in (0, 10_000)
        ],
        stays=2.0,
    )


def _texts(start: int) -> Iterator[dict[str, Any]]:
    text = "lorem ipsum dolor sit amet, " * 20
    for number in range(start, start + 10_000):
        yield {"type": "set", "key": ["scan", number], "value": {"text": text}}


def _transactions() -> Hostile:
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    statements = ("BEGIN IMMEDIATE", f"{numbers} SELECT count(*) FROM n")
    requests = [{"type": "execute", "stmt": {"sql": sql}} for sql in statements]
    return Hostile(
        "transactions",
        "three transactions over Hrana with an endless statement, again and again",
        _again("POST", "/database/api/v3/pipeline", _text({"requests": requests})),
        connections=3,
        reads=True,
        most_write_ms=MOST_WRITE_MS,
    )


LONG = Request("PUT", "/keys/stall/body", json.dumps(["x" * 1_000] * 8_000))
DEEP = b"[" + (b"[" * 200 + b"]" * 200 + b",") * (BYTES // 401) + b"0]"
NOW = b'{"$now":true},'

BODIES = (
    _put(
        "bigint",
        "a bigint of 400,000 digits",
        json.dumps(_bigint(400_000)).encode(),
        is_stored=False,
    ),
    _put(
        "bigints", "bigints of 10,000 digits", _filled(json.dumps(_bigint(10_000)).encode() + b",")
    ),
    _put("floats", "9.9 MB of [1.0]", _filled(b"[1.0],")),
    _put("objects", '9.9 MB of {"a":1.0}', _filled(b'{"a":1.0},')),
    _put("arrays", "9.9 MB of []", _filled(b"[],")),
    _put("times", "9.9 MB of $now", _filled(NOW)),
    _put("growing", "9.9 MB of 1e17, which grow too large", _filled(b"1e17,"), is_stored=False),
    _put("members", "an object of a million members", _named()),
    _put("deep", "9.9 MB of 200 levels", DEEP),
    _put("escapes", "9.9 MB of escapes", b'"' + b"\\n" * (BYTES // 2) + b'"'),
    _put("text", "a text of 9.9 MB", b'"' + b"v" * BYTES + b'"'),
    _post(
        "enqueue",
        "enqueue of 9.9 MB of []",
        "/keyval/api/queue/enqueue",
        b'{"value":%b}' % _filled(b"[],"),
    )._replace(most_write_ms=MOST_COMMIT_MS),
    _atomic(
        "appends",
        "2,000 appends to 8 MB",
        *({"type": "append", "key": KEY, "value": [number]} for number in range(2_000)),
        prepare=[LONG],
        is_done=True,
    ),
    _atomic("sets", "150,000 sets, which are too many", *_sets(150_000)),
    _atomic("most-sets", "10,000 sets, which are the most", *_sets(10_000), is_done=True),
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
    _atomic(
        "most-checks",
        "10,000 checks, which are the most",
        checks=({"key": [*KEY, n], "versionstamp": None} for n in range(10_000)),
        is_done=True,
    ),
    _atomic(
        "sums",
        "400 sums of 10,000 digits",
        *({"type": "max", "key": KEY, "value": _bigint(10_000)} for _ in range(400)),
        prepare=[Request("PUT", "/keys/stall/body", "1")],
        is_done=True,
    ),
    _atomic(
        "hexadecimal",
        "a sum of 300,000 hexadecimal digits",
        {"type": "sum", "key": KEY, "value": {"__type": "bigint", "value": "0x" + "f" * 300_000}},
    ),
    _post(
        "bigint-key",
        "a key with a bigint of 400,000 digits",
        "/keyval/api/keys/batch",
        {"keys": [["stall", _bigint(400_000)]]},
    ),
    _filters("filters", "600,000 empty filters", 600_000),
    _filters("all-filters", "3.3 million empty filters, which are too many", 3_300_000),
    _post(
        "long-lists",
        "1,000 $in of 1,000 elements, which are too many",
        "/keyval/api/keys/list",
        {"where": {"$or": [{"a": {"$in": list(range(1_000))}}] * 1_000}},
    ),
    _post(
        "lists",
        "10 $in of 1,000 elements, which are the most",
        "/keyval/api/keys/list",
        {"where": {"$or": [{"a": {"$in": list(range(1_000))}}] * 10}},
    ),
    _poll(),
    _scan("scan", "a list", "POST", "/keyval/api/keys/list"),
    _scan("deletion", "a deletion", "DELETE", "/keyval/api/keys/scan"),
    _transactions(),
)
