"""The store for other plugins: the methods of `AsyncKv`, without a network in between."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from buntime_database import Adapter, DatabaseUnavailable, OutcomeUnknown
from buntime_host import Principal
from buntime_host.access import EVERYONE, Grant
from buntime_keyval import Now, TransactionResult
from buntime_keyval.engine import KeyValEngine
from buntime_keyval.shared import (
    AsyncFlights,
    AsyncKvViews,
    AsyncShortcuts,
    AsyncTransaction,
    Pauses,
    run_async,
)
from buntime_keyval.wire import Duration, KeyLike

from buntime_plugin_keyval.faces.engine.engine import LocalEngine
from buntime_plugin_keyval.faces.local.consumers import LocalConsumers, LocalConsuming
from buntime_plugin_keyval.faces.local.locks import LocalLocking, LocalLocks
from buntime_plugin_keyval.faces.local.metrics import KvMetrics
from buntime_plugin_keyval.faces.local.queue import LocalDeadLetters, LocalQueue
from buntime_plugin_keyval.faces.local.queues import LocalQueues
from buntime_plugin_keyval.faces.local.reads import LocalReads
from buntime_plugin_keyval.faces.local.schedules import LocalSchedules
from buntime_plugin_keyval.faces.local.search import LocalSearch
from buntime_plugin_keyval.faces.local.stream import LocalStream
from buntime_plugin_keyval.faces.local.tasks import LocalRunning, LocalTasks
from buntime_plugin_keyval.faces.local.transactions import LocalSource
from buntime_plugin_keyval.faces.local.watch import LocalWatching
from buntime_plugin_keyval.faces.local.writes import LocalWrites
from buntime_plugin_keyval.features.log.feature import LOG
from buntime_plugin_keyval.features.schedules.feature import SCHEDULES
from buntime_plugin_keyval.features.stream.feature import STREAM
from buntime_plugin_keyval.requests.permissions import ADMIN, Permits
from buntime_plugin_keyval.service import KeyValService

T = TypeVar("T")


class LocalKv(
    LocalReads,
    LocalWrites,
    LocalSearch,
    LocalQueue,
    LocalLocking,
    LocalConsuming,
    LocalRunning,
    LocalWatching,
    AsyncKvViews,
    AsyncShortcuts[KeyLike, Any],
):
    """What `ctx.get_plugin("@buntime/plugin-keyval")` returns.

    Methods, parameters and results are those of `buntime_keyval.AsyncKv`, which describes them in
    full, so that code moves between a plugin and a client. Every method checks its input and raises
    `InvalidInput`. If the database cannot serve, `buntime_database.DatabaseUnavailable` is raised
    and nothing was written; if it was lost during a write, `OutcomeUnknown`, as from a client.
    """

    def __init__(self, service: KeyValService, principal: Principal = EVERYONE) -> None:
        permits = Permits(principal, guarded=service.guards_reserved)
        super().__init__(service, permits)
        self._source = LocalSource(
            service.store,
            service.sending,
            service.locking,
            service.consuming.consumers,
            service.tasks,
            permits,
        )
        self._flights = AsyncFlights()
        self.dlq = LocalDeadLetters(service.letters, permits)
        """Dead letters: messages that were given up."""
        self.locks = LocalLocks(service.locking.locks, service.store.clock, permits)
        """Locks by name, to take and release yourself; `lock` does so for a block of code."""
        self.consumers = LocalConsumers(service.consuming.consumers, permits)
        """Operations on consumers of the stream; see `consumer` to process it."""
        self.schedules = LocalSchedules(service.part(SCHEDULES), permits)
        """Schedules: tasks that are started at set times."""
        self.stream = LocalStream(service.part(STREAM), permits)
        """All changes, in the order of commits."""
        self.tasks = LocalTasks(service.tasks, permits)
        """Named work with a result; see `runner`."""
        self.queues = LocalQueues(service.queues, permits)
        """Queues themselves: their messages and options."""
        self.engine: KeyValEngine = LocalEngine(service.store, service.part(LOG), permits)
        """The same store as bytes, for plugins that offer another API."""
        self.metrics = KvMetrics(service, permits)
        """The metrics: call it for JSON, or for Prometheus' text format."""

    def as_principal(self, who: Principal | Grant) -> LocalKv:
        """The same store with the permissions of a principal or grant.

        Operations beyond these raise `PermissionDenied`, before anything is read. Watches and
        listeners end when the principal does.
        """
        principal = who if isinstance(who, Principal) else Principal("", "a plugin", who)
        kv = LocalKv(self._service, principal)
        kv._running = self._running
        return kv

    def now(self) -> Now:
        """A placeholder for the time: in values that of the commit, in filters that of the read."""
        return Now()

    async def transaction(
        self,
        fn: Callable[[AsyncTransaction], Awaitable[T]],
        *,
        max_retries: int = 0,
        retry_delay: Duration = 10,
    ) -> TransactionResult[T]:
        """Run `fn` and commit what it wrote if nothing that it read has changed.

        After a conflict `fn` runs again, up to `max_retries` times, each time after `retry_delay`
        times two to the number of tries, and up to `retry_delay` more. An exception of `fn` ends
        the transaction: nothing is written, nothing is tried again, and the result holds it. (A
        client lets it propagate, as `begin` and `attempts` do here, too.)
        """
        pauses = Pauses(max_retries, retry_delay)
        try:
            return await run_async(self._source, fn, pauses)
        except (DatabaseUnavailable, OutcomeUnknown):
            raise
        except Exception as error:  # noqa: BLE001 - the contract: it becomes the result
            return TransactionResult(ok=False, error="error", message=str(error), exception=error)

    def get_adapter(self) -> Adapter:
        """The adapter of the database that holds the store."""
        self._permits.need(ADMIN)
        return self._store.adapter

    def get_logger(self) -> logging.Logger:
        """The logger of the plugin."""
        return self._store.logger

    async def close(self) -> None:
        """End watches and listeners; running handlers and accepted writes are finished first.

        Called by the plugin, which owns it. The adapter stays open. Idempotent.
        """
        self._permits.need(ADMIN)
        while self._running:
            running, forget = self._running.popitem()
            forget()
            await running.stop()
        await self._store.close()
