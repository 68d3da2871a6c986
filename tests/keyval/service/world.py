"""A store on a real database file, with a clock that a test moves by hand."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from unittest.mock import patch

from buntime_keyval import BigInt
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_keyval.config import parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage import schema
from support.waiting import PATIENCE

NOW_MS = 1_700_000_000_000
LOGGER = logging.getLogger("keyval-test")
FAST = SqliteOptions(synchronous="off")
"""For tests that cut no power."""
_SAME = "5a3e5a3e5a3e5a3e"
"""The identity of a log that is replaced by one of its own."""
_empty_stores: dict[tuple[str, object], bytes] = {}
"""Files of new stores, by dialect and migrations: to make one takes longer than most tests."""


class FakeClock:
    """Stands still until it is moved."""

    def __init__(self, now_ms: int = NOW_MS) -> None:
        self.now_ms = now_ms
        self.ahead_ms = 0

    def now(self) -> int:
        return self.now_ms

    __call__ = now

    def wall(self) -> int:
        return self.now_ms - self.ahead_ms

    def not_before(self, milliseconds: int) -> None:
        missing = max(0, milliseconds - self.now_ms)
        self.now_ms += missing
        self.ahead_ms += missing

    def advance(self, milliseconds: int) -> None:
        """Let time pass."""
        self.now_ms += milliseconds

    def step(self, milliseconds: int) -> None:
        """Set the clock on the wall."""
        self.ahead_ms -= milliseconds


class World(NamedTuple):
    """Everything between a caller and the file."""

    clock: FakeClock
    adapter: SqliteAdapter
    """That of the store."""
    service: KeyValService
    store: Store
    kv: LocalKv
    plain: SqliteAdapter
    """The same database for SQL of tests, whatever style the store's adapter has."""

    async def rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        """What is really in the tables, expired or not."""
        return list(await self.plain.query(sql, args))

    async def stored(self) -> int:
        """Rows in the table of entries, expired ones included."""
        ((number,),) = await self.rows("SELECT count(*) FROM kv_entries")
        return int(number)


@asynccontextmanager
async def open_world(
    path: Path,
    clock: FakeClock | None = None,
    options: SqliteOptions = FAST,
    adapter_type: type[SqliteAdapter] = SqliteAdapter,
    limits: Limits = DEFAULT_LIMITS,
) -> AsyncIterator[World]:
    """Open the store in a file, without its background tasks; all is closed at the end."""
    clock = clock or FakeClock()
    _lay_out(path, await _empty_store(adapter_type))
    adapter = adapter_type(str(path), options=options)
    is_plain = adapter.capabilities.dialect == "sqlite"
    plain = adapter if is_plain else SqliteAdapter(str(path), options=options)
    try:
        store = Store(adapter, logger=LOGGER, clock=clock, limits=limits)
        await schema.migrate(adapter, clock())
        service = KeyValService(parse_config({}), store)
        kv = LocalKv(service)
        yield World(clock, adapter, service, store, kv, plain)
        await kv.close()
    finally:
        await adapter.close()
        if not is_plain:
            await plain.close()


async def _empty_store(adapter_type: type[SqliteAdapter]) -> bytes:
    """The file of a new store, as the migrations make it that the product has now."""
    key = adapter_type.capabilities.dialect, schema.load_migrations
    if key not in _empty_stores:
        with TemporaryDirectory() as folder:
            first = f"{folder}/kv.db"
            adapter = adapter_type(first, options=FAST)
            with patch("secrets.token_hex", lambda _: _SAME):
                await schema.migrate(adapter, NOW_MS)
            await adapter.close()
            _empty_stores[key] = await asyncio.to_thread(Path(first).read_bytes)
    return _empty_stores[key].replace(_SAME.encode(), secrets.token_hex(len(_SAME) // 2).encode())


def _lay_out(path: Path, content: bytes) -> None:
    if not path.exists():
        path.write_bytes(content)


async def until(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    """Wait for a condition, for as long as any machine may need."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        held = condition()
        if held if isinstance(held, bool) else await held:
            return
        await asyncio.sleep(0.002)
    raise AssertionError("the condition did not come true in time")


async def values(kv: LocalKv, *prefix: Any) -> dict[tuple[Any, ...], Any]:
    """Key and value of everything below a prefix."""
    return {entry.key: entry.value async for entry in kv.list(prefix)}


def exact(value: Any) -> Any:
    """A value with the types that Python's equality blurs: 5, 5.0, True and BigInt(5)."""
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    if isinstance(value, dict):
        return {name: exact(member) for name, member in value.items()}
    return type(value).__name__, int(value) if isinstance(value, BigInt) else value
