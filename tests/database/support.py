"""Databases to test with, and waiting."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol, TypeVar

import apsw
from buntime_database import Adapter
from buntime_database_conformance import EngineUnderTest, OpenAdapter
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_database.engines.sqlite.adapter import CAPABILITIES
from support.waiting import PATIENCE

T = TypeVar("T")


class OpenSqlite(Protocol):
    def __call__(self, name: str = ..., /, **options: Any) -> SqliteAdapter: ...


def sqlite_target(name: str, path: str, options: SqliteOptions | None = None) -> EngineUnderTest:
    """The embedded engine on one path; `:memory:` has but one connection."""

    @asynccontextmanager
    async def database() -> AsyncIterator[OpenAdapter]:
        opened: list[SqliteAdapter] = []

        async def open_adapter() -> Adapter:
            opened.append(SqliteAdapter(path, options=options))
            return opened[-1]

        try:
            yield open_adapter
        finally:
            for adapter in opened:
                await adapter.close()

    is_file = path != ":memory:"
    capabilities = CAPABILITIES._replace(reads_at_once=is_file)
    return EngineUnderTest(name, capabilities, database, several_connections=is_file)


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until the condition is true."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"timed out waiting for {what}")
        await asyncio.sleep(0.002)


_HOLD = """
import sys, apsw
connection = apsw.Connection(sys.argv[1])
connection.set_busy_timeout(10_000)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
connection.close()
"""


@asynccontextmanager
async def lock_held_elsewhere(path: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Another process has the write lock until the function that this gives is called."""
    # Not asyncio's subprocess: its transport may outlive the test's event loop, and warns then.
    process = subprocess.Popen(  # noqa: ASYNC220 - starting one takes a millisecond
        [sys.executable, "-c", _HOLD, path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None

    async def release() -> None:
        if process.poll() is None:
            await asyncio.to_thread(process.communicate, "\n")

    try:
        assert await asyncio.to_thread(process.stdout.readline) == "locked\n"
        yield release
    finally:
        await release()
    assert process.returncode == 0


class Trace:
    """The statements that a connection runs, in which thread, from now on."""

    def __init__(self, adapter: SqliteAdapter) -> None:
        self.statements: list[str] = []
        self.threads: dict[str, int] = {}
        self.hold: dict[str, threading.Event] = {}
        """Statements that wait for their event before they run."""
        adapter.get_raw_client().exec_trace = self._trace

    def _trace(self, _: apsw.Cursor, sql: str, __: object) -> bool:
        self.statements.append(sql)
        self.threads[sql] = threading.get_ident()
        event = self.hold.get(sql)
        return event is None or event.wait(PATIENCE)

    def count(self, sql: str) -> int:
        return self.statements.count(sql)


async def turns_during(work: Awaitable[T]) -> tuple[int, T]:
    """How many turns the loop has while something is done, and what that gives."""
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(count())
    await asyncio.sleep(0)
    try:
        done = await work
    finally:
        task.cancel()
    return turns, done
