"""The service: what the routes and the in-process API of one store share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from buntime_database import DatabaseError

from buntime_plugin_keyval.config import KeyValConfig
from buntime_plugin_keyval.engine.additions import CheckParsers, MutationParsers
from buntime_plugin_keyval.engine.scans import Scans
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.audit.feature import AUDIT
from buntime_plugin_keyval.features.consumers.feature import CONSUMERS
from buntime_plugin_keyval.features.encryption.feature import ENCRYPTION
from buntime_plugin_keyval.features.expiry.feature import EXPIRY
from buntime_plugin_keyval.features.feature import AnyFeature, Feature, Ground, Part
from buntime_plugin_keyval.features.locks.feature import LOCKS
from buntime_plugin_keyval.features.log.feature import LOG
from buntime_plugin_keyval.features.metrics.feature import METRICS
from buntime_plugin_keyval.features.metrics.report import Report, measure_store
from buntime_plugin_keyval.features.queue.feature import QUEUE
from buntime_plugin_keyval.features.schedules.feature import SCHEDULES
from buntime_plugin_keyval.features.search.feature import SEARCH
from buntime_plugin_keyval.features.snapshots.feature import SNAPSHOTS
from buntime_plugin_keyval.features.stream.feature import STREAM
from buntime_plugin_keyval.features.tasks.feature import TASKS
from buntime_plugin_keyval.features.upkeep.feature import UPKEEP
from buntime_plugin_keyval.features.watch.feature import WATCH
from buntime_plugin_keyval.requests.quotas import Quotas
from buntime_plugin_keyval.storage.reserved import RESERVED

P = TypeVar("P")

FEATURES: Sequence[AnyFeature] = (
    EXPIRY,
    QUEUE,
    LOCKS,
    TASKS,
    SCHEDULES,
    WATCH,
    SEARCH,
    SNAPSHOTS,
    LOG,
    STREAM,
    CONSUMERS,
    METRICS,
    UPKEEP,
    ENCRYPTION,
    AUDIT,
)
"""All features of the store, in the order in which they are started."""

REPORT_SECONDS = 1.0
"""How long a report waits for the database, since a monitor waits for the report."""


class KeyValService:
    """A store and the parts that its features run in it; nothing runs before `start`."""

    def __init__(
        self,
        config: KeyValConfig,
        store: Store,
        client_of: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
        features: Sequence[AnyFeature] = FEATURES,
    ) -> None:
        self.config = config
        self.store = store
        self.client_of = client_of
        """The client that a request counts against: see `PluginContext`."""
        self.has_replicas = store.adapter.capabilities.replicas
        """Whether replicas may be read, so that each request demands a position."""
        self.is_embedded = store.adapter.capabilities.embedded
        """Whether the database is in this process, and carries out short operations at once."""
        self.quotas = Quotas(store)
        """The use of the store by principals with limits."""
        self.guards_reserved = config.audit_keep > 0
        """Whether only administrators may read the store's own entries, also among others."""
        self.scans = Scans(store.adapter.capabilities.scans_at_once)
        self.features = features
        self.parts: dict[str, Any] = {}
        """The parts of features, by name; None for those that the options disable."""
        ground = Ground(config, store, client_of, self.parts)
        for feature in features:
            self.parts[feature.name] = feature.make(ground)
        self.mutations: MutationParsers = {
            name: read for part in self._parts for name, read in part.mutations.items()
        }
        """Parsers for mutations and checks of features in commits."""
        self.checks: CheckParsers = {
            name: read for part in self._parts for name, read in part.checks.items()
        }
        self.sending = self.part(QUEUE)
        self.queue = self.sending.queue
        self.queues = self.sending.queues
        self.letters = self.sending.letters
        self.dispatcher = self.sending.dispatcher
        self.locking = self.part(LOCKS)
        self.consuming = self.part(CONSUMERS)
        self.tasks = self.part(TASKS)
        self.watches = self.part(WATCH).hub
        self.search = self.part(SEARCH)
        self.snapshots = self.part(SNAPSHOTS)
        self.sweeper = self.part(EXPIRY)
        self.metrics_saver = self.part(METRICS)

    def part(self, feature: Feature[P]) -> P:
        part: P = self.parts[feature.name]
        return part

    async def begin(self) -> None:
        """Prepare the store before its first request. Raises `DatabaseError`."""
        await self.store.begin()
        for part in self._parts:
            await part.begin()
        # They still exist if an earlier start was configured to keep the audit trail.
        try:
            self.guards_reserved = self.guards_reserved or await self.store.has_any(RESERVED)
        except DatabaseError:  # pages may be damaged: it is unknown, and the rest is served
            self.guards_reserved = True

    def start(self) -> None:
        for part in self._parts:
            part.start()

    def problem(self) -> str | None:
        """A text about a background task that has ended unexpectedly, or None."""
        loops = [item for part in self._parts for item in part.loops.items()]
        ended = [name for name, loop in loops if loop.has_ended]
        return f"{' and '.join(ended)} ended unexpectedly, see the log" if ended else None

    async def report(self) -> Report:
        numbers: dict[str, float] = {}
        for part in self._parts:
            numbers |= part.numbers()
        stored: dict[str, float] = {}
        labelled: dict[str, Mapping[tuple[str, ...], float]] = {}
        with suppress(TimeoutError, DatabaseError):
            async with asyncio.timeout(REPORT_SECONDS):
                found = dict(await measure_store(self.store))
                for part in self._parts:
                    found |= await part.stored_numbers()
                    labelled |= await part.labelled_numbers()
                stored = found
        return Report(
            operations=self.store.recorder.totals,
            engine=self.store.adapter.statistics(),
            measures=[it for feature in self.features for it in feature.measures],
            numbers=numbers,
            stored_measures=[it for feature in self.features for it in feature.stored_measures],
            stored=stored,
            labelled_measures=[it for feature in self.features for it in feature.labelled_measures],
            labelled=labelled,
        )

    async def end_streams(self) -> None:
        """End all watchers and listeners, so that their connections end."""
        for part in self._parts:
            await part.end_streams()

    async def close(self) -> None:
        """End streams, stop background tasks, and finish accepted work. Idempotent."""
        await self.end_streams()
        for part in self._parts:
            await part.close()
        await self.store.close()

    @property
    def _parts(self) -> list[Part]:
        return [part for part in self.parts.values() if part is not None]
