"""`on-postgres`: a store on a PostgreSQL server, and the driver beside it, both without HTTP.

The direct `get` reads rows from a pool of ten connections; the direct `put` commits one row after
the other, as who needs an order of commits has to. Each commit is on disk, as is the server's
default.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from pathlib import Path

import asyncpg
import uvloop
from buntime_keyval.wire import encode_key
from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter, PostgresServer
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.storage.schema import migrate
from client import BenchmarkError
from group import Group, Plan, Selection, Settings, job
from postgres_server import postgres_running
from repeating import Operation, repeated
from results import Comparison, Measurement, Row, Section

KEYS = 2000
VALUE = '{"name":"user","active":true,"group":7}'
POOL = 10
AIMS = {"get-32": 2.0, "put-32": 6.0}
DIRECT_GET = "SELECT value, stamp FROM direct WHERE key = $1"
DIRECT_PUT = """
INSERT INTO direct VALUES ($1, $2, '') ON CONFLICT (key) DO UPDATE SET value = excluded.value"""

OURS, DIRECT = "Buntime", "asyncpg"
CASES = ("get-1", "put-1", "get-32", "put-32")


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:  # noqa: ARG001 - as all groups have it
    """See `Group`."""
    with postgres_running() as url:
        if url is None:
            settings.say("on-postgres is skipped: apt-get install postgresql")
            yield Plan([], [SECTION])
            return
        uvloop.run(_load(url))
        jobs = [
            job((name, who), partial(_measured, url, name, settings.seconds, who == OURS))
            for name in chosen["on-postgres"]
            for who in (OURS, DIRECT)
        ]
        yield Plan(jobs, [SECTION])


def _adapter(url: str) -> PostgresAdapter:
    return PostgresAdapter(PostgresServer(url, PostgresOptions(pool_size=POOL)))


async def _load(url: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE direct (key bytea PRIMARY KEY, value text, stamp text)")
    rows = [(_key(number), VALUE, "") for number in range(KEYS)]
    await connection.executemany("INSERT INTO direct VALUES ($1, $2, $3)", rows)
    await connection.close()
    adapter = _adapter(url)
    await migrate(adapter, 1)
    store = Store(adapter, logger=logging.getLogger("benchmark"))
    await asyncio.gather(*(_put(store, number) for number in range(KEYS)))
    await store.close()
    await adapter.close()


def _measured(url: str, name: str, seconds: float, is_ours: bool) -> Measurement:
    case, _, tasks = name.partition("-")
    return uvloop.run(_measure(url, case, int(tasks), seconds, is_ours))


async def _measure(url: str, case: str, tasks: int, seconds: float, is_ours: bool) -> Measurement:
    async with AsyncExitStack() as stack:
        operation = await (_ours if is_ours else _direct)(url, case, stack)
        return await repeated(operation, keys=KEYS, tasks=tasks, seconds=seconds, stride=61)


async def _ours(url: str, case: str, stack: AsyncExitStack) -> Operation:
    adapter = _adapter(url)
    stack.push_async_callback(adapter.close)
    store = Store(adapter, logger=logging.getLogger("benchmark"))
    stack.push_async_callback(store.close)

    async def get(number: int) -> None:
        found = await store.get(_key(number))
        if found is None or found[0] != VALUE:
            raise BenchmarkError(f"get gave {found!r}")

    return get if case == "get" else partial(_put, store)


async def _direct(url: str, case: str, stack: AsyncExitStack) -> Operation:
    if case == "put":
        connection = await asyncpg.connect(url)
        stack.push_async_callback(connection.close)
        turn = asyncio.Lock()

        async def put(number: int) -> None:
            async with turn:
                await connection.execute(DIRECT_PUT, _key(number), VALUE)

        return put
    pool = await stack.enter_async_context(asyncpg.create_pool(url, min_size=POOL, max_size=POOL))

    async def get(number: int) -> None:
        row = await pool.fetchrow(DIRECT_GET, _key(number))
        if row is None or row[0] != VALUE:
            raise BenchmarkError(f"direct get gave {row!r}")

    return get


async def _put(store: Store, number: int) -> None:
    await store.set(_key(number), f'["b",{number}]', VALUE)


def _key(number: int) -> bytes:
    return encode_key(("b", number))


def _row(name: str) -> Row:
    case, _, number = name.partition("-")
    title = f"{case} one entry, {number} {'task' if number == '1' else 'tasks'}"
    comparison = Comparison(f"÷ {DIRECT}", (name, DIRECT), AIMS.get(name))
    return Row((name, OURS), title, comparisons=[comparison])


_TITLES = {"get": "a row by key, from a pool", "put": "a row, commits one after the other"}
SECTION = Section(
    "on-postgres",
    "On a PostgreSQL server",
    [
        *(_row(name) for name in CASES),
        *(Row((name, DIRECT), _TITLES[name.partition("-")[0]]) for name in CASES),
    ],
)
GROUP = Group({"on-postgres": CASES}, opened, needs_wrk=False)
