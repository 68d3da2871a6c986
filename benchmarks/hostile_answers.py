"""What strangers ask for in the group `stall`: small requests whose answers would be large.

Some read the answers, and ask again; others never read.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from client import Request
from hostile import MIB, Hostile, whole

API = "/keyval/api"
KEYS = [["stall", "many", number] for number in range(100)]
MANY = [
    Request("PUT", f"/keys/stall/many/{number}", json.dumps({"text": "v" * (MIB - 20)}))
    for number in range(len(KEYS))
]
"""100 values of 1 MB."""

VALUE_BYTES = 9_900_000
THREE = [
    Request("PUT", f"/keys/stall/three/{number}", '"' + letter * VALUE_BYTES + '"')
    for number, letter in enumerate("abc")
]
MESSAGES = [
    Request("POST", "/queue/enqueue", '{"value":"' + "m" * VALUE_BYTES + '"}') for _ in range(5)
]
WIDE = Request("PUT", "/keys/stall/large", json.dumps("v" * VALUE_BYTES + "😀", ensure_ascii=False))
"""A text that takes four bytes for each character once it is decoded."""


TRANSACTION_MS = 5_500
"""For as long a transaction may keep the lock, and somewhat more."""

RETURNING = (
    "CREATE TABLE IF NOT EXISTS stall_rows (x)",
    "DELETE FROM stall_rows",
    "INSERT INTO stall_rows VALUES (hex(zeroblob(4500000))) RETURNING x",
)
SORTED = (
    "WITH RECURSIVE n(i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n)"
    " SELECT i, hex(i) FROM n ORDER BY 2 DESC"
)
COLUMNS = f"SELECT {','.join('1' * 2_000)} WHERE 0"


def _again(
    name: str, title: str, method: str, path: str, body: Any = None, prepare: Sequence[Request] = ()
) -> Hostile:
    """Asked again and again, with every answer read."""
    text = b"" if body is None else json.dumps(body).encode()
    return Hostile(
        name,
        title,
        lambda netloc: itertools.repeat(whole(method, path, netloc, text)),
        reads=True,
        prepare=tuple(prepare),
    )


def _unread(
    name: str, title: str, path: str, prepare: Sequence[Request], connections: int, body: Any = None
) -> Hostile:
    """Asked once on each connection, and never read."""
    method, text = ("GET", b"") if body is None else ("POST", json.dumps(body).encode())
    return Hostile(
        name,
        title,
        lambda netloc: iter((whole(method, path, netloc, text),)),
        connections,
        prepare=tuple(prepare),
    )


def _watched_and_written() -> Callable[[str], Iterable[bytes]]:
    """60 watch and never read, the next one writes what they watch for as long as it may."""
    connections = itertools.count()
    value = b'"' + b"w" * (MIB - 2) + b'"'

    def send(netloc: str) -> Iterator[bytes]:
        if next(connections) < 60:
            yield whole("GET", f"{API}/watch/prefix?prefix=stall/written&initial=false", netloc)
            return
        for number in itertools.count():
            path = f"{API}/keys/stall/written/{number % 200}"
            yield whole("PUT", path, netloc, value)

    return send


ANSWERS = (
    _again(
        "batch",
        "a batch of 100 keys of 1 MB",
        "POST",
        f"{API}/keys/batch",
        {"keys": KEYS},
        MANY,
    ),
    _again(
        "batch-same",
        "a batch of one key of 1 MB, 1,000 times",
        "POST",
        f"{API}/keys/batch",
        {"keys": KEYS[:1] * 1_000},
        MANY[:1],
    ),
    _again(
        "batch-most",
        "a batch of 15 keys of 1 MB, which are the most",
        "POST",
        f"{API}/keys/batch",
        {"keys": KEYS[:15]},
        MANY,
    ),
    _again(
        "reads-same",
        "a transaction that reads one key of 1 MB 1,000 times",
        "POST",
        f"{API}/transaction",
        {"reads": KEYS[:1] * 1_000},
        MANY[:1],
    ),
    _again(
        "commit-same",
        "the same, with a mutation",
        "POST",
        f"{API}/transaction",
        {"reads": KEYS[:1] * 1_000, "mutations": [{"type": "delete", "key": ["stall", "none"]}]},
        MANY[:1],
    ),
    _again(
        "poll-same",
        "a poll of one key of 1 MB, 1,000 times",
        "POST",
        f"{API}/watch/poll",
        {"keys": KEYS[:1] * 1_000},
        MANY[:1],
    ),
    _again(
        "poll-below",
        "a poll of a prefix with 100 values of 1 MB",
        "GET",
        f"{API}/watch/prefix/poll?prefix=stall/many&limit=1000",
        prepare=MANY,
    ),
    _again(
        "list-long",
        "a list of 100 values of 1 MB",
        "GET",
        f"{API}/keys?prefix=stall/many&limit=100",
        prepare=MANY,
    ),
    _again(
        "page-long",
        "a page of the same",
        "GET",
        f"{API}/keys/paginate?prefix=stall/many&limit=100",
        prepare=MANY,
    ),
    _again(
        "snapshot-long",
        "a page of a snapshot of the same",
        "GET",
        f"{API}/keys/paginate?prefix=stall/many&limit=100&snapshot=true",
        prepare=MANY,
    ),
    _again(
        "search-long",
        "a search that finds the same",
        "POST",
        f"{API}/search/paginate",
        {"prefix": ["stall", "many"], "query": "v*"},
        (
            *MANY,
            Request("POST", "/indexes", '{"prefix":["stall","many"],"fields":["text"]}'),
        ),
    ),
    _again(
        "get-wide",
        "GET of 9.9 MB with one emoji",
        "GET",
        f"{API}/keys/stall/large",
        prepare=[WIDE],
    ),
    _again(
        "columns",
        "1,500 statements of 2,000 columns without rows",
        "POST",
        "/database/api/v2/pipeline",
        {
            "requests": [
                {"type": "store_sql", "sql_id": 1, "sql": COLUMNS},
                *[{"type": "execute", "stmt": {"sql_id": 1}}] * 1_500,
                {"type": "close"},
            ]
        },
    ),
    _again(
        "columns-batch",
        "a batch of 100 such statements",
        "POST",
        "/database/api/batch",
        {"statements": [{"sql": COLUMNS}] * 100},
    )._replace(most_write_ms=TRANSACTION_MS),
    _again(
        "returning",
        "8 that write a row of 9 MB by a batch of SQL, and have it given back",
        "POST",
        "/database/api/batch",
        {"statements": [{"sql": sql} for sql in RETURNING]},
    )._replace(connections=8, most_write_ms=TRANSACTION_MS),
    _again(
        "sorting",
        "8 that sort rows without an end",
        "POST",
        "/database/api/query",
        {"sql": SORTED},
    )._replace(connections=8),
    _unread(
        "unread-wide",
        "100 that GET 9.9 MB with one emoji and never read",
        f"{API}/keys/stall/large",
        [WIDE],
        100,
    ),
    _unread(
        "unread-page",
        "100 that ask for a page of 16 MB and never read",
        f"{API}/keys/paginate?prefix=stall/many",
        MANY,
        100,
    ),
    _unread(
        "unread-watch",
        "60 that watch three values of 9.9 MB and never read",
        f"{API}/watch/prefix?prefix=stall/three",
        THREE,
        60,
    ),
    Hostile(
        "unread-changes",
        "60 that watch values of 1 MB that are written, and never read",
        _watched_and_written(),
        61,
        reads=False,
    ),
    _unread(
        "unread-listen",
        "60 that listen for messages of 9.9 MB and never read",
        f"{API}/queue/listen?prefetch=1000",
        MESSAGES,
        60,
    ),
    _unread(
        "unread-returning",
        "80 that write a row of 9 MB by a batch of SQL, have it given back and never read",
        "/database/api/batch",
        (),
        80,
        {"statements": [{"sql": sql} for sql in RETURNING]},
    )._replace(most_write_ms=TRANSACTION_MS),
    _unread(
        "unread-rows",
        "100 that ask for a row of 9 MB of SQL and never read",
        "/database/api/query",
        (),
        100,
        {"sql": "SELECT hex(zeroblob(4500000))"},
    ),
)
