"""Everything that the routes and the in-process API of one store share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from buntime_plugin_keyval.config import KeyValConfig
from buntime_plugin_keyval.engine.scans import Scans
from buntime_plugin_keyval.engine.shares import Shares
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.expiry.sweeper import Sweeper
from buntime_plugin_keyval.features.metrics.report import Report, measure_stored
from buntime_plugin_keyval.features.metrics.saving import MetricsSaver
from buntime_plugin_keyval.features.queue.dispatcher import Dispatcher
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.features.search.search import Search
from buntime_plugin_keyval.features.snapshots.snapshots import Snapshots
from buntime_plugin_keyval.features.watch.hub import WatchHub


@dataclass(frozen=True)
class KeyValService:
    """The parts of a running key-value plugin."""

    config: KeyValConfig
    store: Store
    search: Search
    queue: Queue
    dispatcher: Dispatcher
    watches: WatchHub
    snapshots: Snapshots
    sweeper: Sweeper
    scans: Scans
    client_of: Callable[[Mapping[str, Any]], str | None]
    """Who a request counts for: see `PluginContext`."""
    has_replicas: bool
    """Whether reads may be of replicas, so that each request says how much it has to see."""
    metrics_saver: MetricsSaver | None
    """Only where metrics are to survive restarts."""

    async def begin(self) -> None:
        """Go on where the store ended, before anything is asked of it. Raises `DatabaseError`."""
        await self.store.begin()
        await self.queue.begin()

    def start(self) -> None:
        """Start the background tasks."""
        self.sweeper.start()
        self.dispatcher.start()
        workers = self.store.peers.workers
        if workers.number == 0 or workers.took_over:  # else the first worker has seen to it
            self.search.start()
        if self.metrics_saver is not None:
            self.metrics_saver.start()

    def problem(self) -> str | None:
        """Which background task has ended though it should run, as a text for people; or None."""
        ended = [
            name
            for name, part in (
                ("delivery", self.dispatcher),
                ("expiry", self.sweeper),
                ("watching", self.watches),
            )
            if part.has_ended
        ]
        return f"{' and '.join(ended)} ended unexpectedly, see the log" if ended else None

    async def report(self) -> Report:
        """What is measured now."""
        return Report(
            operations=self.store.recorder.totals,
            dead_letters_expired=self.queue.dead_letters_expired,
            watchers=self.watches.watcher_count,
            listeners=self.dispatcher.listener_count,
            engine=self.store.adapter.statistics(),
            stored=await measure_stored(self.store, self.queue),
        )

    async def end_streams(self) -> None:
        """Let every watcher and listener end, so that their connections do."""
        await self.watches.close()
        await self.dispatcher.close()

    async def close(self) -> None:
        """End the streams, stop the background tasks, finish what was accepted. Idempotent."""
        await self.end_streams()
        await self.snapshots.close()
        await self.sweeper.stop()
        await self.queue.close()
        await self.search.stop()
        if self.metrics_saver is not None:
            await self.metrics_saver.stop()
        await self.store.close()


def make_service(
    config: KeyValConfig,
    store: Store,
    client_of: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
) -> KeyValService:
    """Put the parts together; nothing runs before `start`. For `client_of` see `PluginContext`."""
    queue = Queue(store, lease_ms=config.queue.lock_duration.milliseconds)
    saver = None
    if config.metrics.persistent:
        saver = MetricsSaver(
            store.adapter,
            store.recorder,
            interval_ms=config.metrics.flush_interval.milliseconds,
            clock=store.clock,
            logger=store.logger,
            workers=store.peers.workers,
        )
    return KeyValService(
        config=config,
        client_of=client_of,
        store=store,
        search=Search(store),
        queue=queue,
        dispatcher=Dispatcher(
            queue,
            peers=store.peers,
            clock=store.clock,
            sweep_ms=config.queue.cleanup_interval.milliseconds,
            foreign_poll_ms=config.foreign_poll.milliseconds,
            shares=Shares(
                "queue.maxListeners",
                most=config.queue.max_listeners,
                most_of_client=config.queue.max_listeners_per_client,
            ),
            logger=store.logger,
        ),
        watches=WatchHub(
            store,
            shares=Shares(
                "watch.maxWatchers",
                most=config.watch.max_watchers,
                most_of_client=config.watch.max_watchers_per_client,
            ),
            foreign_poll_ms=config.foreign_poll.milliseconds,
            logger=store.logger,
        ),
        scans=Scans(store.adapter.capabilities.scans_at_once),
        snapshots=Snapshots(
            store,
            most=config.snapshots.max_open,
            idle_ms=config.snapshots.max_idle.milliseconds,
            age_ms=config.snapshots.max_age.milliseconds,
        ),
        has_replicas=store.adapter.capabilities.replicas,
        metrics_saver=saver,
        sweeper=Sweeper(
            store,
            interval_ms=config.cleanup_interval.milliseconds,
            retention=config.changes.retention(),
            forget_results=partial(
                store.replays.forget,
                keep=config.idempotency.max_count,
                age_ms=config.idempotency.max_age.milliseconds,
            ),
            expire_dead_letters=(
                partial(queue.expire_dead_letters, config.queue.dlq_max_age.milliseconds)
                if config.queue.dlq_max_age.milliseconds
                else None
            ),
            logger=store.logger,
        ),
    )
