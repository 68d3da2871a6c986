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

REQUESTS = 1_000
"""Different requests of a case; the load generator goes round and round through them."""

PAGE = 100
BATCH = 10
READ_SHARE = 0.8

Check = Callable[[Client, Request, Any], None]
"""Raises `BenchmarkError` unless the answer to the request is right."""


class Aim(NamedTuple):
    """The least share of the bare application's rate, and how the aim words it."""

    ratio: float
    text: str


class Case(NamedTuple):
    """One line of the table."""

    id: str
    title: str
    requests: Callable[[Client], Sequence[Request]]
    check: Check
    aim: Aim | None = None


def at_least(ratio: float) -> Aim:
    """An aim that is a share of the bare application's rate."""
    return Aim(ratio, f"≥ {ratio:g}")


def at_rate(rate: int, *, bare: int = 65_000) -> Aim:
    """An aim in requests per second on a machine whose bare application does `bare`."""
    return Aim(rate / bare, f"≥ {rate / bare:.4f} ({rate}/s at {bare:,}/s)")


def _random(case: str) -> Random:
    return Random(case)  # the same requests in every run


def _path(key: dataset.Key) -> str:
    return "/keys/" + "/".join(str(part) for part in key)


def _expect(found: object, wanted: object, what: str) -> None:
    if found != wanted:
        raise BenchmarkError(f"{what}: expected {str(wanted)[:200]}, received {str(found)[:200]}")


def _small_entry(entry: Any) -> None:
    _expect(entry["value"], dataset.value_of(entry["key"][-1]), "value of an entry")
    _expect(entry["key"][:-1], dataset.SMALL_PREFIX, "prefix of an entry")
    _expect(isinstance(entry["versionstamp"], str), True, "entry with a versionstamp")


# Bare


def _bare(_: Client) -> Sequence[Request]:
    return [Request("GET", "/")]


def _check_bare(_: Client, __: Request, answer: Any) -> None:
    _expect(isinstance(answer, dict), True, "answer of the bare application")


# One entry


def _get_requests(random: Random, count: int) -> list[Request]:
    numbers = random.sample(range(dataset.SMALL), count)
    return [Request("GET", _path([*dataset.SMALL_PREFIX, number])) for number in numbers]


def _put_requests(random: Random, count: int) -> list[Request]:
    """Each key twice, with another value: a store may skip writing what is there already."""
    numbers = random.sample(range(dataset.SMALL), count // 2)
    return [
        Request(
            "PUT",
            _path([*dataset.WRITTEN_PREFIX, number]),
            json.dumps({**dataset.value_of(number), "active": active}),
        )
        for active in (False, True)
        for number in numbers
    ]


def _get(_: Client) -> Sequence[Request]:
    return _get_requests(_random("get"), REQUESTS)


def _check_get(_: Client, request: Request, answer: Any) -> None:
    _small_entry(answer)
    _expect(_path(answer["key"]), request.path, "key of the entry")


def _put(_: Client) -> Sequence[Request]:
    return _put_requests(_random("put"), REQUESTS)


def _check_put(client: Client, request: Request, answer: Any) -> None:
    _expect(answer.get("ok"), True, "ok of a commit")
    entry = client.call(Request("GET", request.path))
    _expect(entry["value"], json.loads(request.body), "value that was put")
    _expect(entry["versionstamp"], answer["versionstamp"], "versionstamp of what was put")


def _mix(_: Client) -> Sequence[Request]:
    random = _random("mix")
    reads = int(REQUESTS * READ_SHARE)
    gets = iter(_get_requests(random, reads))
    puts = iter(_put_requests(random, REQUESTS - reads))
    are_reads = [True] * reads + [False] * (REQUESTS - reads)
    random.shuffle(are_reads)
    return [next(gets if is_read else puts) for is_read in are_reads]


def _check_mix(client: Client, request: Request, answer: Any) -> None:
    (_check_get if request.method == "GET" else _check_put)(client, request, answer)


# Several entries


def _batch(_: Client) -> Sequence[Request]:
    random = _random("batch")
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
        for _ in range(REQUESTS)
    ]


def _check_batch(_: Client, request: Request, answer: Any) -> None:
    _expect([entry["key"] for entry in answer], json.loads(request.body)["keys"], "keys")
    for entry in answer:
        _small_entry(entry)


def _list(_: Client) -> Sequence[Request]:
    random = _random("list")
    prefix = "/".join(str(part) for part in dataset.SMALL_PREFIX)
    return [
        Request("GET", f"/keys?prefix={prefix}&start={prefix}/{start}&limit={PAGE}")
        for start in random.sample(range(dataset.SMALL - PAGE), REQUESTS)
    ]


def _check_list(_: Client, request: Request, answer: Any) -> None:
    first = int(request.path.partition("&start=")[2].partition("&")[0].rpartition("/")[2])
    numbers = [entry["key"][-1] for entry in answer]
    _expect(numbers, list(range(first, first + PAGE)), "last parts of the listed keys")
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
    _expect(len(answer["entries"]), PAGE, "entries of a page")
    _expect(answer["hasMore"] and isinstance(answer["cursor"], str), True, "a page that goes on")
    numbers = [entry["key"][-1] for entry in answer["entries"]]
    _expect(numbers, list(range(numbers[0], numbers[0] + PAGE)), "last parts of the page's keys")


def _count(_: Client) -> Sequence[Request]:
    prefix = "/".join(str(part) for part in dataset.LARGE_PREFIX)
    return [Request("GET", f"/keys/count?prefix={prefix}")]


def _check_count(_: Client, __: Request, answer: Any) -> None:
    _expect(answer, {"count": dataset.LARGE}, "count")


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
    _expect(numbers, list(range(group, dataset.SMALL, dataset.GROUPS)), "last parts of the hits")
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
    _expect(answer.get("ok"), True, "ok of a commit")
    path = _path(json.loads(request.body)["mutations"][0]["key"])
    before = client.call(Request("GET", path))["value"]
    client.call(request)
    after = client.call(Request("GET", path))["value"]
    _expect(after, before + 1, "counter after a sum")


BARE = Case("bare", "bare ASGI application", _bare, _check_bare)

CASES: tuple[Case, ...] = (
    Case("get", "get one entry", _get, _check_get, at_least(0.35)),
    Case("put", "put one entry", _put, _check_put, at_least(0.2)),
    Case("batch", f"get {BATCH} entries by key", _batch, _check_batch, at_least(0.16)),
    Case("list", f"list {PAGE} entries", _list, _check_list, at_least(0.12)),
    Case("paginate", f"page of {PAGE} out of 100,000", _paginate, _check_paginate),
    Case("count", "count 90,000 entries", _count, _check_count, at_rate(350)),
    Case("where", "filter 10,000 entries, 100 hits", _where, _check_where, at_rate(700)),
    Case("sum", "atomic sum of one of 1,000 counters", _sum, _check_sum, at_least(0.15)),
    Case("mix", "80 % get, 20 % put", _mix, _check_mix, at_least(0.2)),
)
