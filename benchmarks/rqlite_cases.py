"""The cases over HTTP in SQL, for rqlite: what an application with the same data would send.

Reads are `level=none`, which asks nobody but the node itself.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any
from urllib.parse import quote

import dataset
from cases import BATCH, PAGE, READ_SHARE, REQUESTS, Case
from client import BenchmarkError, Client, Request
from load import Expected

ENTRIES = """
CREATE TABLE kv (
  prefix TEXT, number INTEGER, value TEXT NOT NULL, PRIMARY KEY (prefix, number)
) WITHOUT ROWID"""
COUNTERS = "CREATE TABLE counters (number INTEGER PRIMARY KEY, value INTEGER NOT NULL)"
PUT = (
    "INSERT INTO kv VALUES (?, ?, ?)"
    " ON CONFLICT (prefix, number) DO UPDATE SET value = excluded.value"
)
SUM = "INSERT INTO counters VALUES (?, 1) ON CONFLICT (number) DO UPDATE SET value = value + 1"
SELECT = "SELECT number, value FROM kv WHERE"
SMALL, LARGE = (str(prefix[-1]) for prefix in (dataset.SMALL_PREFIX, dataset.LARGE_PREFIX))
WRITTEN = str(dataset.WRITTEN_PREFIX[-1])

_Rows = list[list[Any]]


def load(client: Client, size: int) -> None:
    """Make the tables and fill them, so many rows at a time."""
    _execute(client, [[ENTRIES], [COUNTERS]])
    for chunk in dataset.chunks(size):
        _execute(client, [[PUT, key[-2], key[-1], json.dumps(value)] for key, value in chunk])


def _execute(client: Client, statements: list[list[object]]) -> Any:
    answer = client.call(Request("POST", "/db/execute?transaction", json.dumps(statements)))
    if any("error" in result for result in answer["results"]):
        raise BenchmarkError(f"rqlite: {str(answer)[:200]}")
    return answer


def _query(sql: str) -> Request:
    return Request("GET", f"/db/query?level=none&q={quote(sql)}")


def _statement(*parts: object) -> Request:
    return Request("POST", "/db/execute", json.dumps([parts]))


def _rows(answer: Any) -> _Rows:
    (result,) = answer["results"]
    rows: _Rows = result.get("values", [])
    return rows


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise BenchmarkError(f"rqlite: expected {str(wanted)[:200]}, received {str(found)[:200]}")


def _right_entries(rows: _Rows, numbers: Sequence[int]) -> None:
    found = [(number, json.loads(value)) for number, value in rows]
    _expect(found, [(number, dataset.value_of(number)) for number in numbers])


# Each reading case: the numbers that its requests ask for, and the SQL of one request.

_Numbers = Iterator[list[int]]


def _reading(
    case: str, title: str, wanted: Callable[[Random], _Numbers], sql: Callable[[list[int]], str]
) -> Case:
    asked: list[list[int]] = []

    def requests(_: Client) -> Sequence[Request]:
        asked[:] = wanted(Random(case))
        return [_query(sql(numbers)) for numbers in asked]

    def check(_: Client, request: Request, answer: Any) -> None:
        (numbers,) = (n for n in asked if _query(sql(n)) == request)
        _right_entries(_rows(answer), numbers)

    least = len(next(wanted(Random(case))))
    return Case(case, title, requests, check, Expected("user ", least * 50))


def _gets(random: Random, count: int = REQUESTS) -> _Numbers:
    for number in random.sample(range(dataset.SMALL), count):
        yield [number]


def _batches(random: Random) -> _Numbers:
    for _ in range(REQUESTS):
        yield sorted(random.sample(range(dataset.SMALL), BATCH))


def _lists(random: Random) -> _Numbers:
    for start in random.sample(range(dataset.SMALL - PAGE), REQUESTS):
        yield list(range(start, start + PAGE))


def _hits(_: Random) -> _Numbers:
    for group in range(dataset.GROUPS):
        yield list(range(group, dataset.SMALL, dataset.GROUPS))


def _in_sql(numbers: list[int]) -> str:
    return f"{SELECT} prefix = '{SMALL}' AND number IN ({','.join(map(str, numbers))})"


def _from_sql(numbers: list[int]) -> str:
    start = f"prefix = '{SMALL}' AND number >= {numbers[0]}"
    return f"{SELECT} {start} ORDER BY number LIMIT {PAGE}"


def _where_sql(numbers: list[int]) -> str:
    return f"{SELECT} prefix = '{SMALL}' AND json_extract(value, '$.group') = {numbers[0]}"


# Counting and writing


def _counting(_: Client) -> Sequence[Request]:
    return [_query(f"SELECT count(*) FROM kv WHERE prefix = '{LARGE}'")]


def _check_count(_: Client, __: Request, answer: Any) -> None:
    _expect(_rows(answer), [[dataset.LARGE]])


def _puts(random: Random, count: int) -> list[Request]:
    numbers = random.sample(range(dataset.SMALL), count // 2)
    return [
        _statement(PUT, WRITTEN, number, json.dumps({**dataset.value_of(number), "active": active}))
        for active in (False, True)
        for number in numbers
    ]


def _check_put(client: Client, request: Request, answer: Any) -> None:
    ((_, prefix, number, value),) = json.loads(request.body)
    _expect(answer["results"][0].get("rows_affected"), 1)
    sql = f"SELECT value FROM kv WHERE prefix = '{prefix}' AND number = {number}"
    _expect(_rows(client.call(_query(sql))), [[value]])


def _sums(_: Client) -> Sequence[Request]:
    return [_statement(SUM, number) for number in range(dataset.COUNTERS)]


def _check_sum(client: Client, request: Request, answer: Any) -> None:
    _expect(answer["results"][0].get("rows_affected"), 1)
    before = _total(client)
    client.call(request)
    _expect(_total(client), before + 1)


def _total(client: Client) -> int:
    ((total,),) = _rows(client.call(_query("SELECT coalesce(sum(value), 0) FROM counters")))
    return int(total)


def _mixed(_: Client) -> Sequence[Request]:
    random = Random("mix")
    reads = int(REQUESTS * READ_SHARE)
    gets = [_query(_in_sql(numbers)) for numbers in _gets(random, reads)]
    mixed = gets + _puts(random, REQUESTS - reads)
    random.shuffle(mixed)
    return mixed


def _check_mix(client: Client, request: Request, answer: Any) -> None:
    if request.method == "POST":
        _check_put(client, request, answer)
    else:
        ((number, value),) = _rows(answer)
        _expect(request, _query(_in_sql([number])))
        _expect(json.loads(value), dataset.value_of(number))


_WRITTEN = Expected('"rows_affected":1')

CASES = (
    _reading("get", "get one row", _gets, _in_sql),
    Case("put", "put one row", lambda _: _puts(Random("put"), REQUESTS), _check_put, _WRITTEN),
    _reading("batch", f"get {BATCH} rows by key", _batches, _in_sql),
    _reading("list", f"list {PAGE} rows", _lists, _from_sql),
    Case("count", "count 90,000 rows", _counting, _check_count, Expected("[[90000]]")),
    _reading("where", "filter 10,000 rows, 100 hits", _hits, _where_sql),
    Case("sum", "add to one of 1,000 counters", _sums, _check_sum, _WRITTEN, counted=_total),
    Case("mix", "80 % get, 20 % put", _mixed, _check_mix, Expected('{"results":[{')),
)
