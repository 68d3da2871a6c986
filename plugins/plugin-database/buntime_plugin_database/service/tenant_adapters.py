"""Open databases of tenants: as many as are allowed, and none is closed while it is in use.

What a user gets is a `TenantAdapter`, which takes the open database for each call only. So one
that was closed to make room is opened again at its next use, and nobody ever holds a closed one.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from buntime_database import (
    Batch,
    Capabilities,
    DatabaseClosed,
    DatabaseError,
    DatabaseUnavailable,
    Guard,
    ResultSet,
    SessionLimits,
    Statement,
    Transaction,
    TransactionMisuse,
    Value,
)

from buntime_plugin_database.shared.executing import Executing
from buntime_plugin_database.shared.tenants import CountedSession, OpenDatabase, TenantNotFound

T = TypeVar("T")


class TenantKey(NamedTuple):
    """One tenant of one engine."""

    type: str
    tenant: str


class _Open:
    """An open database and the number of calls that use it now."""

    def __init__(self, adapter: OpenDatabase) -> None:
        self.adapter = adapter
        self.users = 0


class TenantAdapters:
    """The open databases, least recently used first."""

    def __init__(
        self, open_adapter: Callable[[TenantKey], Awaitable[OpenDatabase]], *, max_open: int
    ) -> None:
        """`max_open` counts for each engine. `open_adapter` raises `DatabaseError`."""
        self._open_adapter = open_adapter
        self._max_open = max_open
        self._open: dict[TenantKey, _Open] = {}
        self._handles: WeakValueDictionary[TenantKey, TenantAdapter] = WeakValueDictionary()
        self._changing: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        """One lock for each engine: no tenant waits for the servers of another engine."""
        self._closed = False

    async def get(self, key: TenantKey) -> TenantAdapter:
        """The adapter of a tenant, whose database is opened now, once for all callers."""
        async with self.using(key) as adapter:
            handle = self._handles.get(key)
            if handle is None:
                handle = self._handles[key] = TenantAdapter(
                    self, key, adapter.capabilities._replace(reads_at_once=False, bells=False)
                )
            return handle

    @asynccontextmanager
    async def using(self, key: TenantKey) -> AsyncIterator[OpenDatabase]:
        """The open database, which stays open meanwhile."""
        entry = await self._take(key)
        try:
            yield entry.adapter
        except TenantNotFound:
            # Another host has deleted it: the next caller has to learn that, or make it again.
            if self._open.get(key) is entry:
                del self._open[key]
                await entry.adapter.close()
            raise
        finally:
            entry.users -= 1

    async def open_session(self, key: TenantKey, limits: SessionLimits | None) -> CountedSession:
        """A session that keeps its database open until it is closed."""
        entry = await self._take(key)

        def leave() -> None:
            entry.users -= 1

        try:
            session = await entry.adapter.open_session(limits)
        except BaseException:
            leave()
            raise
        session.when_closed(leave)
        return session

    def opened(self, key: TenantKey) -> OpenDatabase | None:
        """The open database, which may be closed at the next await; None if it is not open."""
        entry = self._open.get(key)
        return None if entry is None else entry.adapter

    def pin(self, key: TenantKey) -> OpenDatabase:
        """The open database, which from now on stays open."""
        entry = self._open.get(key)
        if entry is None:
            raise DatabaseUnavailable("the tenant's database is not open: run a statement first")
        entry.users += 1
        return entry.adapter

    @asynccontextmanager
    async def removed(self, key: TenantKey) -> AsyncIterator[None]:
        """Close a tenant's database for good, and keep others from opening it meanwhile."""
        async with self._changing[key.type]:
            entry = self._open.pop(key, None)
            if entry is not None:
                try:
                    await entry.adapter.close()
                except TransactionMisuse:  # by a caller with an open transaction: nothing is closed
                    self._open[key] = entry
                    raise
            handle = self._handles.pop(key, None)
            if handle is not None:
                handle.retired = True
            try:
                yield
            except BaseException:  # it was not deleted
                if handle is not None:
                    handle.retired = False
                    self._handles[key] = handle
                raise

    async def close(self) -> list[OpenDatabase]:
        """Give all open databases away to be closed; nothing is opened from now on."""
        self._closed = True
        for changing in [*self._changing.values()]:
            async with changing:
                pass  # the next caller sees that all is closed
        adapters = [entry.adapter for entry in self._open.values()]
        self._open.clear()
        return adapters

    async def _take(self, key: TenantKey) -> _Open:
        entry = self._open.get(key)
        if entry is None or not entry.adapter.is_current():
            async with self._changing[key.type]:
                if self._closed:
                    raise DatabaseClosed("the database plugin has shut down")
                entry = self._open.get(key)
                if entry is not None and not entry.adapter.is_current():
                    await entry.adapter.close()
                    del self._open[key]
                    entry = None
                if entry is None:
                    await self._make_room(key.type)
                    entry = self._open[key] = _Open(await self._open_adapter(key))
        # No await from here to the count: nothing may evict it in between.
        self._open[key] = self._open.pop(key)  # now the most recently used
        entry.users += 1
        return entry

    async def _make_room(self, type: str) -> None:
        same = [key for key in self._open if key.type == type]
        if len(same) < self._max_open:
            return
        for key in same:
            if self._open[key].users == 0:
                await self._open.pop(key).adapter.close()
                return
        raise DatabaseUnavailable(
            f"{len(same)} tenant databases are open (tenancy.maxTenants), all of them in use"
        )


class TenantAdapter(Executing):
    """A tenant's database; implements `buntime_database.Adapter`."""

    def __init__(
        self, adapters: TenantAdapters, key: TenantKey, capabilities: Capabilities
    ) -> None:
        self.type = key.type
        self.tenant = key.tenant
        self.capabilities = capabilities
        self.retired = False
        """The tenant was deleted; another of the same name is another database."""
        self._adapters = adapters
        self._key = key

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        async with self._using() as adapter:
            return await adapter.execute_result(sql, args)

    async def query(
        self,
        sql: str,
        args: Sequence[Value] = (),
        *,
        point: bool = False,
        fresh: bool = False,
        max_bytes: int | None = None,
    ) -> list[tuple[Value, ...]]:
        async with self._using() as adapter:
            return await adapter.query(sql, args, point=point, fresh=fresh, max_bytes=max_bytes)

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        async with self._using() as adapter:
            return await adapter.batch(steps)

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        async with self._using() as adapter:
            return await adapter.batch_each(batches)

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> T:
        async with self._using() as adapter:
            return await adapter.transaction(fn)

    async def open_session(self, limits: SessionLimits | None = None) -> CountedSession:
        self._refuse_retired()
        return await self._adapters.open_session(self._key, limits)

    def position(self) -> int | None:
        """The value of the open database; None while it is not open."""
        adapter = self._adapters.opened(self._key)
        return None if adapter is None else adapter.position()

    def data_version(self) -> None:
        """None: the value of another opening would say nothing about this one."""

    def when_written(self, call: Callable[[], None]) -> bool:  # noqa: ARG002 - the seam's
        """False, as for `data_version`."""
        return False

    def statistics(self) -> dict[str, float]:
        """The values of the open database; none while it is not open."""
        adapter = self._adapters.opened(self._key)
        return {} if adapter is None else adapter.statistics()

    def get_raw_client(self) -> Any:
        """The driver's own object, which then stays open until the service is closed."""
        self._refuse_retired()
        return self._adapters.pin(self._key).get_raw_client()

    async def close(self) -> None:
        """Nothing: others may use the same database, and the service closes it."""

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[OpenDatabase]:
        self._refuse_retired()
        async with self._adapters.using(self._key) as adapter:
            yield adapter

    def _refuse_retired(self) -> None:
        if self.retired:
            raise DatabaseClosed("the tenant was deleted")
