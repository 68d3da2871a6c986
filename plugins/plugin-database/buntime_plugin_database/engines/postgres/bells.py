"""Notifications between processes, by NOTIFY.

One separate connection sends and listens, past any pooler. A notification may be lost, as when that
connection breaks: listeners also poll from time to time, and are called once the connection is
there again.

A notification is a commit, so a host that is alone on a database sends none, except when it arrives
and from time to time, by which others learn of it. Others are also seen among the server's
connections.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from buntime_plugin_database.engines.postgres.connections import CONNECT_SECONDS, connect, quoted
from buntime_plugin_database.engines.postgres.errors import DRIVER_ERRORS, translate

PACE_SECONDS = 0.003
"""A topic is rung at most once in this time: one look finds all that was written meanwhile."""
RETRY_SECONDS = (0.1, 5.0)
"""The first and the longest pause between two attempts to connect."""
QUIET_SECONDS = 10.0
"""Time without a connection that is not worth a line in the log: a server that is away has one
already, and one that was restarted is there again."""
ALIVE_SECONDS = 30.0
"""After which a connection on which nothing was sent is asked whether it is there."""
COMPANY_SECONDS = 5.0
"""Seconds that a host believes itself alone, unless it gets a notification."""

_APPLICATION = "buntime bells"
_COMPANY = """
SELECT EXISTS (
  SELECT FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = $1 AND pid <> pg_backend_pid())"""

_PRESENT = ""
"""The notification which only says that a host is there."""

logger = logging.getLogger("plugin:@buntime/plugin-database")


class NotifyBells:
    """The bells of one schema; implements `buntime_database.Bells`."""

    def __init__(self, url: str, server: str, schema: str) -> None:
        """Nothing is sent before the first `hear` or `ring`. `server` is its name in the log."""
        self._url = url
        self._server = server
        self._channel = f"buntime {schema}"[:63]  # a name of PostgreSQL's
        self._calls: dict[str, Callable[[], None]] = {}
        self._rung: set[str] = set()
        self._wake = asyncio.Event()
        self._company_until = self._alone_until = 0.0
        """Until when others are believed to be there, and not to be."""
        self._task: asyncio.Task[None] | None = None
        self._late: set[asyncio.Task[None]] = set()

    def hear(self, topic: str, call: Callable[[], None] | None) -> None:
        if call is None:
            self._calls.pop(topic, None)
        else:
            self._calls[topic] = call
            self._begin()

    def ring(self, topic: str) -> None:
        if monotonic() < self._alone_until:
            return
        self._rung.add(topic)
        self._begin()
        self._wake.set()

    async def close(self) -> None:
        """End the connection. Idempotent."""
        task, self._task = self._task, None
        self._calls.clear()
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        while self._late:
            await asyncio.wait(self._late)

    def _begin(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        """Keep a connection, whatever happens."""
        first, longest = RETRY_SECONDS
        pause = first
        told = False
        alone_since = monotonic()
        while True:
            connection = None
            try:
                connection = await connect(
                    self._url,
                    self._late,
                    command_timeout=CONNECT_SECONDS,
                    statement_cache_size=0,
                    server_settings={"application_name": _APPLICATION},
                )
                # A notification is a commit too. It is not worth the wait for the disk: a crash may
                # lose it, and the writes that it reports need the disk.
                await connection.execute("SET synchronous_commit TO off")
                self._alone_until = 0.0
                await connection.add_listener(self._channel, self._heard)
                await connection.execute(self._notifying(_PRESENT))
                connection.add_termination_listener(lambda _: self._wake.set())
                if told:
                    logger.warning("%s: notifications are heard again", self._server)
                pause, told = first, False
                for call in [*self._calls.values()]:
                    call()  # for signals while it was not connected
                try:
                    await self._send(connection)
                finally:
                    alone_since = monotonic()
            except DRIVER_ERRORS as error:
                if not told and monotonic() - alone_since >= QUIET_SECONDS:
                    told = True
                    logger.warning(
                        "%s: notifications of others' writes are not heard, so these are found a"
                        " little later: %s",
                        self._server,
                        translate(error, self._server),
                    )
            finally:
                if connection is not None:
                    connection.terminate()
            await asyncio.sleep(pause)
            pause = min(2 * pause, longest)

    async def _send(self, connection: Any) -> None:
        """Send signals at a limited rate until the connection ends, which the driver raises."""
        sent_at = monotonic()
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(ALIVE_SECONDS):
                    await self._wake.wait()
            self._wake.clear()
            rung, self._rung = self._rung, set()
            began = monotonic()
            if rung and began >= self._company_until:
                if await connection.fetchval(_COMPANY, _APPLICATION):
                    self._company_until = began + COMPANY_SECONDS
                elif began >= self._company_until:  # no other host has come meanwhile
                    self._alone_until = began + COMPANY_SECONDS
            words = sorted(rung) if began < self._company_until else []
            # A connection that has ended raises here, and not only at its next use.
            if words or connection.is_closed() or began >= sent_at + ALIVE_SECONDS:
                await connection.execute("; ".join(map(self._notifying, words or [_PRESENT])))
                sent_at = began
            await asyncio.sleep(max(0.0, began + PACE_SECONDS - monotonic()))

    def _notifying(self, topic: str) -> str:
        escaped = topic.replace("'", "''")
        return f"NOTIFY {quoted(self._channel)}, '{escaped}'"

    def _heard(self, connection: Any, process: int, channel: str, topic: str) -> None:  # noqa: ARG002 - the driver's
        # One may be heard while the connection ends. The others are our own voice.
        if not connection.is_closed() and process != connection.get_server_pid():
            self._company_until = monotonic() + 2 * ALIVE_SECONDS
            self._alone_until = 0.0
            call = self._calls.get(topic)
            if call is not None:
                call()
