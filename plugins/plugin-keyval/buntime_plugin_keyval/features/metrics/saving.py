"""Saving metrics across restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import msgspec
from buntime_database import DatabaseError, OutcomeUnknown, Statement

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.recorder import Samples
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Part


class MetricsSaver(Part):
    """Loads the metrics at the start, and saves them at intervals and at the end.

    Each process adds its own measurements to the saved ones, and shows the sum of its own and those
    saved when it started. The workers of one host share theirs: each shows the total.
    """

    def __init__(self, store: Store, *, interval_ms: int) -> None:
        self._adapter = store.adapter
        self._sql = store.sql.metrics
        self._recorder = store.recorder
        self._interval_s = interval_ms / 1000
        self._clock = store.clock
        self._logger = store.logger
        self._loop = Loop(
            self._step,
            "keyval-metrics",
            logger=store.logger,
            complaint="Metrics could not be saved: %s",
            retry_s=self._interval_s,
            finishes_step=True,  # a save that is cancelled would leave its outcome unknown
        )
        self._turn = asyncio.Lock()
        self._workers = store.peers.workers
        self._loaded = self._workers.numbers("keyval.metrics.loaded", 1)
        """1 once this worker, or its predecessor, has added the saved metrics."""

    @property
    def loops(self) -> Mapping[str, Loop]:
        """The loop that loads the saved metrics and then saves at intervals."""
        return {"saving of metrics": self._loop}

    async def close(self) -> None:
        """Save the rest and stop. Idempotent."""
        if not self._loop.is_running:
            return
        await self._loop.stop()
        try:
            await self.flush()
        except DatabaseError as error:
            self._logger.warning("The last metrics could not be saved: %s", error)

    async def load(self) -> None:
        """Add the saved metrics of earlier processes to the totals; only the first call does.

        The first of several workers does so for all.
        """
        async with self._turn:
            if self._is_loaded or self._workers.number != 0:
                return
            saved = {
                str(operation): Samples(
                    int(count or 0),
                    int(errors or 0),
                    float(latency_ms or 0),
                    msgspec.json.decode(str(buckets), type=list[int]),
                )
                for operation, count, errors, latency_ms, buckets in await self._adapter.query(
                    self._sql.load
                )
            }
            self._recorder.load(saved)
            self._loaded.own[0] = 1

    async def flush(self) -> None:
        """Save the measurements since the last time, or keep all of them if that fails.

        Raises `DatabaseError`; after an `OutcomeUnknown` they are not saved again. Saved metrics of
        earlier processes are loaded first, so that nothing is counted twice.
        """
        await self.load()
        async with self._turn:
            if not self._is_loaded:
                return
            unsaved = self._recorder.take_unsaved()
            if not unsaved:
                return
            now_ms = self._clock.wall()
            try:
                await self._adapter.batch(
                    [
                        Statement(
                            self._sql.save,
                            (
                                operation,
                                samples.count,
                                samples.errors,
                                samples.latency_ms,
                                msgspec.json.encode(samples.buckets).decode(),
                                now_ms,
                            ),
                        )
                        for operation, samples in unsaved.items()
                    ]
                )
            except OutcomeUnknown:
                raise  # not put back: better lost than counted twice
            except DatabaseError:
                self._recorder.put_back(unsaved)
                raise

    async def reset(self) -> None:
        """Forget all metrics, saved ones included. Raises `DatabaseError`; then all are kept."""
        async with self._turn:
            await self._adapter.batch([Statement(self._sql.forget)])
            self._recorder.reset()
            self._loaded.own[0] = 1

    @property
    def _is_loaded(self) -> bool:
        return any(self._loaded.totals())

    async def _step(self) -> float:
        await self.flush()
        return self._interval_s
