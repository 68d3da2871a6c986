"""The store without HTTP, and SQLite without the store, on files of their own.

Run as a program with names of cases it opens its databases in the current folder, checks an
answer of each case, prints `ready`, and then measures: for each line `case seconds` that it reads
it prints `[rate, p50, p99, p99.9]`.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from random import Random
from typing import NamedTuple

import apsw
import dataset
import uvloop
from buntime_host.processes.server import spare_the_collector
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.schema import migrate

PAGE = 100
LOAD_CHUNK = 100

Operation = Callable[[], Awaitable[None]]
Check = Callable[[], Awaitable[bool]]

ROWS_A_COMMIT = 100


class Timed(NamedTuple):
    """One case: what is repeated, by how many tasks, and whether it did what it should."""

    operation: Operation
    tasks: int
    check: Check
    rows: int = 1
    """What one call of the operation counts for."""


class Kvs:
    """The operations of a `LocalKv` on 10,000 entries and 1,000 counters."""

    def __init__(self, kv: LocalKv) -> None:
        self._kv = kv
        self._random = Random(1)
        self._sums = 0

    async def load(self) -> None:
        """Store what the operations read."""
        for start in range(0, dataset.SMALL, LOAD_CHUNK):
            atomic = self._kv.atomic()
            for number in range(start, start + LOAD_CHUNK):
                atomic.set([*dataset.SMALL_PREFIX, number], dataset.value_of(number))
            await atomic.commit()

    def case(self, name: str, tasks: int) -> Timed:
        """The case of one of the operations."""
        operation: dict[str, tuple[Operation, Check]] = {
            "get": (self._get, self._check_get),
            "set": (self._set, self._check_set),
            "list": (self._list, self._check_list),
            "sum": (self._sum, self._check_sum),
        }
        return Timed(operation[name][0], tasks, operation[name][1])

    def _number(self) -> int:
        return int(self._random.random() * dataset.SMALL)

    async def _get(self) -> None:
        await self._kv.get([*dataset.SMALL_PREFIX, self._number()])

    async def _check_get(self) -> bool:
        entry = await self._kv.get([*dataset.SMALL_PREFIX, 17])
        return entry.value == dataset.value_of(17) and entry.versionstamp is not None

    async def _set(self) -> None:
        number = self._number()
        await self._kv.set([*dataset.WRITTEN_PREFIX, number], dataset.value_of(number))

    async def _check_set(self) -> bool:
        done = await self._kv.set([*dataset.WRITTEN_PREFIX, 17], dataset.value_of(17))
        entry = await self._kv.get([*dataset.WRITTEN_PREFIX, 17])
        return (entry.value, entry.versionstamp) == (dataset.value_of(17), done.versionstamp)

    async def _list(self) -> None:
        await self._list_from(int(self._random.random() * (dataset.SMALL - PAGE)))

    async def _list_from(self, first: int) -> list[object]:
        prefix = dataset.SMALL_PREFIX
        found = self._kv.list(prefix, start=[*prefix, first], limit=PAGE)
        return [entry.key[-1] async for entry in found]

    async def _check_list(self) -> bool:
        return await self._list_from(17) == list(range(17, 17 + PAGE))

    async def _sum(self) -> None:
        key = [*dataset.COUNTER_PREFIX, int(self._random.random() * dataset.COUNTERS)]
        await self._kv.atomic().sum(key, 1).commit()
        self._sums += 1

    async def _check_sum(self) -> bool:
        """Not one increment is lost."""
        await self._sum()
        total = 0
        async for entry in self._kv.list(dataset.COUNTER_PREFIX):
            total += entry.value or 0
        return self._sums == total


class Apsw:
    """What SQLite itself can do: a table of keys and values, one connection, no thread."""

    def __init__(self, path: str) -> None:
        self._connection = apsw.Connection(path)
        self._connection.pragma("journal_mode", "wal")
        self._connection.pragma("synchronous", "full")
        self._random = Random(1)
        self._puts = 0

    async def load(self) -> None:
        """Make the table and fill it."""
        self._connection.execute(
            "CREATE TABLE entries (key BLOB PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
        )
        with self._connection:
            for number in range(dataset.SMALL):
                self._put_number(number)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def case(self, name: str) -> Timed:
        """The case of one of the operations."""
        operations: dict[str, tuple[Operation, int]] = {
            "get": (self._get, 1),
            "put": (self._put, 1),
            f"put_{ROWS_A_COMMIT}": (self._put_many, ROWS_A_COMMIT),
            "list": (self._list, 1),
        }
        operation, rows = operations[name]
        return Timed(operation, 1, self._check, rows)

    def _number(self) -> int:
        return int(self._random.random() * dataset.SMALL)

    async def _get(self) -> None:
        self._get_number(self._number())

    async def _put(self) -> None:
        self._put_number(self._number())

    async def _put_many(self) -> None:
        with self._connection:
            for _ in range(ROWS_A_COMMIT):
                self._put_number(self._number())

    async def _list(self) -> None:
        self._list_from(int(self._random.random() * (dataset.SMALL - PAGE)))

    def _list_from(self, number: int) -> list[tuple[object, ...]]:
        return self._connection.execute(
            "SELECT key, value FROM entries WHERE key >= ? ORDER BY key LIMIT ?",
            (b"small/%05d" % number, PAGE),
        ).fetchall()

    def _get_number(self, number: int) -> object:
        return self._connection.execute(
            "SELECT value FROM entries WHERE key = ?", (b"small/%05d" % number,)
        ).get

    def _put_number(self, number: int) -> None:
        self._connection.execute(
            "INSERT OR REPLACE INTO entries VALUES (?, ?)",
            (b"small/%05d" % number, self._text(number)),
        )

    def _text(self, number: int) -> str:
        """A value that was never there: SQLite skips the commit of one that is there already."""
        self._puts += 1
        return json.dumps({**dataset.value_of(number), "put": self._puts})

    async def _check(self) -> bool:
        self._put_number(17)
        stored = json.loads(str(self._get_number(17)))
        listed = [key for key, _ in self._list_from(17)]
        expected = [b"small/%05d" % number for number in range(17, 17 + PAGE)]
        return stored == {**dataset.value_of(17), "put": self._puts} and listed == expected


async def measure(timed: Timed, seconds: float) -> tuple[float, ...]:
    """Rate, and p50, p99 and p99.9 in milliseconds, of an operation that so many tasks repeat."""
    clock = time.perf_counter_ns
    begin = clock()
    end = begin + int(seconds * 1e9)
    taken: list[int] = []

    async def repeat() -> None:
        before = clock()
        while before < end:
            await timed.operation()
            after = clock()
            taken.append(after - before)
            if timed.tasks > 1:
                await asyncio.sleep(0)  # a read never waits, so the others would not get a turn
            before = clock()

    await asyncio.gather(*[repeat() for _ in range(timed.tasks)])
    rate = len(taken) * timed.rows / (clock() - begin) * 1e9
    taken.sort()
    shares = (500, 990, 999)
    return rate, *(taken[len(taken) * share // 1000] / 1e6 for share in shares)


@asynccontextmanager
async def opened(path: str) -> AsyncIterator[LocalKv]:
    """A store with default options, as the plugin makes it."""
    adapter = SqliteAdapter(path)
    try:
        store = Store(adapter, logger=logging.getLogger("benchmark"))
        await migrate(adapter, store.clock.wall())
        service = KeyValService(parse_config({}), store)
        service.start()
        try:
            yield LocalKv(service)
        finally:
            await service.close()
    finally:
        await adapter.close()


async def main(names: list[str]) -> None:
    """Open and load what the cases need, check it, and measure on demand."""
    async with opened("kv.db") as kv:
        kvs, raw = Kvs(kv), Apsw("apsw.db")
        try:
            await kvs.load()
            await raw.load()
            cases: dict[str, Timed] = {}
            for name in names:
                kind, operation, *tasks = name.split("-")
                case = kvs.case(operation, int(tasks[0])) if kind == "kv" else raw.case(operation)
                cases[name] = case
            await _check(cases)
            spare_the_collector()  # as in `buntime serve`, where plugins call a store
            print("ready", flush=True)
            while line := await asyncio.to_thread(sys.stdin.readline):
                name, seconds = line.split()
                result = await measure(cases[name], float(seconds))
                await _check({name: cases[name]})
                print(json.dumps(result), flush=True)
        finally:
            raw.close()


async def _check(cases: dict[str, Timed]) -> None:
    for name, case in cases.items():
        if not await case.check():
            raise SystemExit(f"{name}: wrong answer")


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1:]))
