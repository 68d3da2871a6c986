"""What is measured over HTTP: for each case its requests, what a right answer is, and the aim.

A case prepares its requests once, as text, so that generating load costs next to nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, NamedTuple
from urllib.parse import quote

import dataset
from client import BenchmarkError, Client, Request
from load import Expected

REQUESTS = 1_000
"""Different requests of a case; the load generator goes round and round through them."""

PAGE = 100
BATCH = 10
READ_SHARE = 0.8

Check = Callable[[Client, Request, Any], None]
"""Raises `BenchmarkError` unless the answer to the request is right."""


class Case(NamedTuple):
    """One line of the table."""

    id: str
    title: str
    requests: Callable[[Client], Sequence[Request]]
    check: Check
    """Looks closely at the answers to the first requests, before anything is measured."""
    expected: Expected
    """What every answer is checked for while it is measured."""
    counted: Callable[[Client], int] | None = None
    """A sum in the store to which each request adds one: not one may be lost."""


def _random(case: str) -> Random:
    return Random(case)  # the same requests in every run


def _path(key: dataset.Key) -> str:
    return "/keys/" + "/".join(str(part) for part in key)


def expect(found: object, wanted: object, what: str) -> None:
    """Raise `BenchmarkError` unless it is what was wanted."""
    if found != wanted:
        raise BenchmarkError(f"{what}: expected {str(wanted)[:200]}, received {str(found)[:200]}")


def _small_entry(entry: Any) -> None:
    expect(entry["value"], dataset.value_of(entry["key"][-1]), "value of an entry")
    expect(entry["key"][:-1], dataset.SMALL_PREFIX, "prefix of an entry")
    expect(isinstance(entry["versionstamp"], str), True, "entry with a versionstamp")


# Bare


def _bare(_: Client) -> Sequence[Request]:
    return [Request("GET", "/")]


def _check_bare(_: Client, __: Request, answer: Any) -> None:
    expect(isinstance(answer, dict), True, "answer of the bare application")


# One entry


def get_requests(
    random: Random,
    count: int,
    *,
    prefix: dataset.Key = dataset.SMALL_PREFIX,
    among: int = dataset.SMALL,
) -> list[Request]:
    """Different entries of the first so many of a prefix."""
    return [
        Request("GET", _path([*prefix, number])) for number in random.sample(range(among), count)
    ]


def put_requests(
    random: Random,
    count: int,
    *,
    prefix: dataset.Key = dataset.WRITTEN_PREFIX,
    among: int = dataset.SMALL,
) -> list[Request]:
    """Each key twice, with another value: a store may skip writing what is there already."""
    numbers = random.sample(range(among), count // 2)
    return [
        Request(
            "PUT",
            _path([*prefix, number]),
            json.dumps({**dataset.value_of(number), "active": active}),
        )
        for active in (False, True)
        for number in numbers
    ]


def list_requests(random: Random, count: int) -> list[Request]:
    """Lists of `PAGE` entries that begin anywhere."""
    prefix = "/".join(str(part) for part in dataset.SMALL_PREFIX)
    return [
        Request("GET", f"/keys?prefix={prefix}&start={prefix}/{start}&limit={PAGE}")
        for start in random.sample(range(dataset.SMALL - PAGE), count)
    ]


def _get(_: Client) -> Sequence[Request]:
    return get_requests(_random("get"), REQUESTS)


def _check_get(_: Client, request: Request, answer: Any) -> None:
    _small_entry(answer)
    expect(_path(answer["key"]), request.path, "key of the entry")


def _put(_: Client) -> Sequence[Request]:
    return put_requests(_random("put"), REQUESTS)


def _check_put(client: Client, request: Request, answer: Any) -> None:
    expect(answer.get("ok"), True, "ok of a commit")
    entry = client.call(Request("GET", request.path))
    expect(entry["value"], json.loads(request.body), "value that was put")
    expect(entry["versionstamp"], answer["versionstamp"], "versionstamp of what was put")


def _mix(_: Client) -> Sequence[Request]:
    random = _random("mix")
    reads = int(REQUESTS * READ_SHARE)
    gets = iter(get_requests(random, reads))
    puts = iter(put_requests(random, REQUESTS - reads))
    are_reads = [True] * reads + [False] * (REQUESTS - reads)
    random.shuffle(are_reads)
    return [next(gets if is_read else puts) for is_read in are_reads]


def _check_mix(client: Client, request: Request, answer: Any) -> None:
    (_check_get if request.method == "GET" else _check_put)(client, request, answer)


# Several entries


def batch_requests(random: Random, count: int) -> list[Request]:
    """Batches of `BATCH` entries from anywhere."""
    return [
        Request(
            "POST",
            "/keys/batch",
            json.dumps(
                {
                    "keys": [
                        [*dataset.SMALL_PREFIX, number]
                        for number in random.sample(range(dataset.SMALL), BATCH)
                    ]
                }
            ),
        )
        for _ in range(count)
    ]


def _batch(_: Client) -> Sequence[Request]:
    return batch_requests(_random("batch"), REQUESTS)


def _check_batch(_: Client, request: Request, answer: Any) -> None:
    expect([entry["key"] for entry in answer], json.loads(request.body)["keys"], "keys")
    for entry in answer:
        _small_entry(entry)


def _list(_: Client) -> Sequence[Request]:
    return list_requests(_random("list"), REQUESTS)


def _check_list(_: Client, request: Request, answer: Any) -> None:
    first = int(request.path.partition("&start=")[2].partition("&")[0].rpartition("/")[2])
    numbers = [entry["key"][-1] for entry in answer]
    expect(numbers, list(range(first, first + PAGE)), "last parts of the listed keys")
    for entry in answer:
        _small_entry(entry)


def _paginate(client: Client) -> Sequence[Request]:
    """Pages from all over the prefix: cursors are opaque, so they are gathered beforehand."""
    prefix = "/".join(str(part) for part in dataset.ALL_PREFIX)
    start = f"/keys/paginate?prefix={prefix}&limit="
    requests = [Request("GET", f"{start}{PAGE}")]
    page = client.call(Request("GET", f"{start}{REQUESTS}"))
    while page["cursor"]:
        cursor = quote(page["cursor"], safe="")
        requests.append(Request("GET", f"{start}{PAGE}&cursor={cursor}"))
        page = client.call(Request("GET", f"{start}{REQUESTS}&cursor={cursor}"))
    first, *others = requests
    _random("paginate").shuffle(others)
    return [first, *others]


def _check_paginate(_: Client, __: Request, answer: Any) -> None:
    expect(len(answer["entries"]), PAGE, "entries of a page")
    expect(answer["hasMore"] and isinstance(answer["cursor"], str), True, "a page that goes on")
    numbers = [entry["key"][-1] for entry in answer["entries"]]
    expect(numbers, list(range(numbers[0], numbers[0] + PAGE)), "last parts of the page's keys")


def _count(_: Client) -> Sequence[Request]:
    prefix = "/".join(str(part) for part in dataset.LARGE_PREFIX)
    return [Request("GET", f"/keys/count?prefix={prefix}")]


def _check_count(_: Client, __: Request, answer: Any) -> None:
    expect(answer, {"count": dataset.LARGE}, "count")


def _where(_: Client) -> Sequence[Request]:
    """The limit is above the number of hits, so every row has to be looked at."""
    return [
        Request(
            "POST",
            "/keys/list",
            json.dumps({"prefix": dataset.SMALL_PREFIX, "where": {"group": group}, "limit": 1000}),
        )
        for group in range(dataset.GROUPS)
    ]


def _check_where(_: Client, request: Request, answer: Any) -> None:
    group = json.loads(request.body)["where"]["group"]
    numbers = [entry["key"][-1] for entry in answer]
    expect(numbers, list(range(group, dataset.SMALL, dataset.GROUPS)), "last parts of the hits")
    for entry in answer:
        _small_entry(entry)


# Atomic


def _sum(_: Client) -> Sequence[Request]:
    numbers = list(range(dataset.COUNTERS))
    _random("sum").shuffle(numbers)
    return [
        Request(
            "POST",
            "/atomic",
            json.dumps(
                {
                    "mutations": [
                        {"type": "sum", "key": [*dataset.COUNTER_PREFIX, number], "value": "1"}
                    ]
                }
            ),
        )
        for number in numbers
    ]


def _check_sum(client: Client, request: Request, answer: Any) -> None:
    expect(answer.get("ok"), True, "ok of a commit")
    path = _path(json.loads(request.body)["mutations"][0]["key"])
    before = client.call(Request("GET", path))["value"]
    client.call(request)
    after = client.call(Request("GET", path))["value"]
    expect(after, before + 1, "counter after a sum")


def _total(client: Client) -> int:
    prefix = "/".join(str(part) for part in dataset.COUNTER_PREFIX)
    answer = client.call(Request("GET", f"/keys?prefix={prefix}&limit={dataset.COUNTERS}"))
    return sum(entry["value"] for entry in answer)


_ENTRY = '"value":{"name":"user '
_COMMIT = '"ok":true'
_ENTRY_BYTES = 90
"""Every entry is longer, whoever writes it."""


def _entries(count: int) -> Expected:
    return Expected(_ENTRY, count * _ENTRY_BYTES)


BARE = Case("bare", "bare ASGI application", _bare, _check_bare, Expected(_ENTRY))

CASES: tuple[Case, ...] = (
    Case("get", "get one entry", _get, _check_get, _entries(1)),
    Case("put", "put one entry", _put, _check_put, Expected(_COMMIT)),
    Case("batch", f"get {BATCH} entries by key", _batch, _check_batch, _entries(BATCH)),
    Case("list", f"list {PAGE} entries", _list, _check_list, _entries(PAGE)),
    Case("paginate", f"page of {PAGE} out of 100,000", _paginate, _check_paginate, _entries(PAGE)),
    Case("count", "count 90,000 entries", _count, _check_count, Expected('{"count":90000}')),
    Case(
        "where",
        "filter 10,000 entries, 100 hits",
        _where,
        _check_where,
        _entries(dataset.SMALL // dataset.GROUPS),
    ),
    Case(
        "sum",
        "atomic sum of one of 1,000 counters",
        _sum,
        _check_sum,
        Expected(_COMMIT),
        counted=_total,
    ),
    Case("mix", "80 % get, 20 % put", _mix, _check_mix, Expected('"versionstamp":"')),
)
