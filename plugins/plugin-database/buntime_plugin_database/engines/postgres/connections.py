"""Connections to one server: made when they are needed, kept, and given to one user at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVar
from urllib.parse import urlsplit

import asyncpg
from buntime_database import DatabaseBusy, DatabaseClosed, ResultSet

from buntime_plugin_database.engines.postgres.errors import DRIVER_ERRORS, is_lost, translate
from buntime_plugin_database.engines.postgres.links import Link, Restart
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_database.engines.postgres.statements import Sql
from buntime_plugin_database.engines.postgres.values import Arguments, set_codecs

T = TypeVar("T")

CONNECT_SECONDS = 10.0
MEND_SECONDS = 5.0
"""Seconds after which a connection that does not end a cancelled statement is given up itself."""
IDLE_SECONDS = 300.0
"""After which an unused connection is not trusted: firewalls forget it without a word."""
GRACE_SECONDS = 5.0
"""Seconds beyond the limit of a statement, which the server enforces, until a connection is taken
for hung."""


def quoted(name: str) -> str:
    """An identifier as SQL."""
    return '"' + name.replace('"', '""') + '"'


async def connect(url: str, late: set[asyncio.Task[None]], **options: Any) -> Any:
    """Open a connection of the driver. Raises the driver's exceptions.

    Cancelling the caller does not cancel it, since the driver would leave something behind. The
    connection is closed once it is open, by a task among the `late` ones.
    """
    loop = asyncio.get_running_loop()
    connecting = loop.create_task(asyncpg.connect(url, timeout=CONNECT_SECONDS, **options))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        ending = loop.create_task(_end_late(connecting))
        late.add(ending)
        ending.add_done_callback(late.discard)
        raise


async def _end_late(connecting: asyncio.Task[Any]) -> None:
    with suppress(*DRIVER_ERRORS):
        (await connecting).terminate()


class LinkPool:
    """At most `size` connections, made as they are needed."""

    def __init__(self, url: str, options: PostgresOptions, *, size: int, writes: bool) -> None:
        """Nothing is sent yet. Without `writes` the server refuses to write on them."""
        self.server = server_name(url)
        self.lasts = options.statement_cache > 0
        """Whether a connection is the same one of the server from one statement to the next."""
        self.schema = options.schema
        self.options = options
        self._url = url
        self._size = size
        self._writes = writes
        self._free: list[Link] = []
        self.made = 0
        """Connections that there are."""
        self._waiting: deque[asyncio.Future[Link | None]] = deque()
        self._untyped: set[str] = set()
        self._mending: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def in_use(self) -> int:
        """Connections in use."""
        return self.made - len(self._free)

    async def run(self, work: Callable[[Link], Awaitable[T]]) -> T:
        """Run `work` with a connection, and undo whatever it leaves open.

        Raises the exceptions of `work`, and without a connection `DatabaseUnavailable`.
        """
        link = await self._take()
        try:
            result = await work(link)
        except BaseException as error:
            if isinstance(error, TimeoutError | asyncio.CancelledError):
                self._mend_later(link)  # its statement is being stopped
            elif is_lost(error) or link.connection.is_closed():
                self._drop(link)
                self.forget_idle()
            elif link.connection.is_in_transaction():
                await self._mend(link)
            else:
                self._give(link)
            raise
        self._give(link)
        return result

    async def open(self) -> Link:
        """A further connection, beyond the limit, which is the caller's to close."""
        if self._closed:
            raise DatabaseClosed("the database is closed")
        options = self.options
        settings = {"TimeZone": "UTC", "DateStyle": "ISO, YMD"}  # poolers know these
        if "application_name=" not in self._url:
            settings["application_name"] = "buntime"
        limit = options.statement_seconds
        try:
            connection = await connect(
                self._url,
                self._mending,
                command_timeout=limit + GRACE_SECONDS if limit else None,
                statement_cache_size=100 if self.lasts else 0,
                server_settings=settings,
            )
        except DRIVER_ERRORS as error:
            raise translate(error, self.server) from error
        try:
            await set_codecs(connection)
            if self.lasts:
                await connection.execute(self._session())
        except BaseException as error:
            connection.terminate()
            if isinstance(error, DRIVER_ERRORS):
                raise translate(error, self.server) from error
            raise
        return Link(connection, options.statement_cache, self._untyped)

    def forget_idle(self) -> None:
        """Close idle connections: their server may be gone."""
        while self._free:
            self._drop(self._free.pop())

    async def close(self) -> None:
        """Wait until all are free, and close them. Idempotent."""
        self._closed = True
        self._call_all()
        while self._mending:
            await asyncio.wait(self._mending)
        while self.made:
            while self._free:
                link = self._free.pop()
                self.made -= 1
                with suppress(*DRIVER_ERRORS):
                    await link.connection.close(timeout=MEND_SECONDS)
            if self.made:
                returned: asyncio.Future[Link | None] = asyncio.get_running_loop().create_future()
                self._waiting.append(returned)
                link_or_none = await returned
                if link_or_none is not None:
                    self._free.append(link_or_none)
        self._call_all()

    async def _take(self) -> Link:
        deadline = monotonic() + self.options.timeout_seconds
        while True:
            if self._closed:
                raise DatabaseClosed("the database is closed")
            while self._free:
                link = self._free.pop()
                if not link.connection.is_closed() and monotonic() - link.used_at < IDLE_SECONDS:
                    return link
                self._drop(link)
            if self.made < self._size:
                self.made += 1
                try:
                    return await self.open()
                except BaseException:
                    self.made -= 1
                    self._call_next(None)
                    raise
            found = await self._wait(deadline)
            if found is not None:
                return found

    async def _wait(self, deadline: float) -> Link | None:
        """A connection that is given back; None if there may be room for another one."""
        returned: asyncio.Future[Link | None] = asyncio.get_running_loop().create_future()
        self._waiting.append(returned)
        try:
            async with asyncio.timeout(deadline - monotonic()):
                return await returned
        except TimeoutError as error:
            self._leave(returned)
            raise DatabaseBusy(
                f"{self.server}: all {self._size} connections were in use for"
                f" {self.options.timeout_seconds:g} s (poolSize)"
            ) from error
        except asyncio.CancelledError:
            self._leave(returned)
            raise

    def _leave(self, returned: asyncio.Future[Link | None]) -> None:
        """Pass on what came too late."""
        if returned.done() and not returned.cancelled():
            link = returned.result()
            if link is None:
                self._call_next(None)
            else:
                self._give(link)
        else:
            returned.cancel()

    def _give(self, link: Link) -> None:
        link.used_at = monotonic()
        if not self._call_next(link):
            self._free.append(link)

    def _drop(self, link: Link) -> None:
        link.connection.terminate()
        self.made -= 1
        self._call_next(None)

    def _call_next(self, link: Link | None) -> bool:
        while self._waiting:
            returned = self._waiting.popleft()
            if not returned.done():
                returned.set_result(link)
                return True
        return False

    def _call_all(self) -> None:
        while self._call_next(None):
            pass

    def _mend_later(self, link: Link) -> None:
        task = asyncio.get_running_loop().create_task(self._mend(link))
        self._mending.add(task)
        task.add_done_callback(self._mending.discard)

    async def _mend(self, link: Link) -> None:
        """Stop a cancelled statement on a connection, and give the connection back if that
        works.
        """
        try:
            async with asyncio.timeout(MEND_SECONDS):
                await link.connection.execute("ROLLBACK")
        except BaseException as error:
            self._drop(link)
            if not isinstance(error, DRIVER_ERRORS):
                raise
        else:
            self._give(link)

    def _session(self) -> str:
        """Settings for all statements of a lasting connection."""
        limit = round(self.options.statement_seconds * 1000)
        return (
            f"SET search_path TO {quoted(self.schema)}; SET statement_timeout TO {limit};"
            " SET IntervalStyle TO iso_8601; SET default_transaction_isolation TO 'read committed';"
            f" SET default_transaction_read_only TO {'off' if self._writes else 'on'};"
            " SET standard_conforming_strings TO on; SET jit TO off"
        )


async def run_alone(
    connections: LinkPool, schema: str, sql: Sql, args: Arguments, *, writes: bool = False
) -> ResultSet:
    """Run one statement that is its own transaction, and sent again where it was not run."""

    async def run(link: Link) -> ResultSet:
        if connections.lasts and schema == connections.schema:
            return await link.run(schema, sql, args)
        await link.connection.execute(opening(connections.options, schema, writes=writes))
        result = await link.run(schema, sql, args)
        await link.connection.execute("COMMIT")
        return result

    restarts = 0
    while True:
        try:
            return await connections.run(run)
        except Restart as restart:
            restarts += 1
            if restarts > MAX_RESTARTS:
                raise DatabaseBusy("the schema changes all the time") from restart


MAX_RESTARTS = 10


def opening(options: PostgresOptions, schema: str, *, writes: bool, patient: bool = False) -> str:
    """The statement that begins a transaction, whatever the connection was used for before."""
    limit = 0 if patient else round(options.statement_seconds * 1000)
    idle = round(IDLE_TRANSACTION_SECONDS * 1000)
    return (
        f"BEGIN ISOLATION LEVEL READ COMMITTED {'READ WRITE' if writes else 'READ ONLY'};"
        f" SET LOCAL search_path TO {quoted(schema)}; SET LOCAL statement_timeout TO {limit};"
        " SET LOCAL IntervalStyle TO iso_8601; SET LOCAL jit TO off;"
        f" SET LOCAL lock_timeout TO {round(options.timeout_seconds * 1000)};"
        f" SET LOCAL idle_in_transaction_session_timeout TO {idle}"
    )


IDLE_TRANSACTION_SECONDS = 60.0
"""Seconds after which the server ends an idle transaction, whose host may be gone."""


def server_name(url: str) -> str:
    """A server as logs and errors name it: hosts and database, without user and password."""
    parts = urlsplit(url)
    return f"PostgreSQL at {parts.netloc.rpartition('@')[2] or 'localhost'}{parts.path}"
