"""Metrics that survive restarts."""

from __future__ import annotations

from buntime_plugin_keyval.features.feature import Feature, Ground
from buntime_plugin_keyval.features.metrics.saving import MetricsSaver


def _make(ground: Ground) -> MetricsSaver | None:
    config, store = ground.config.metrics, ground.store
    if not config.persistent:
        return None
    return MetricsSaver(
        store.db,
        store.recorder,
        interval_ms=config.flush_interval.milliseconds,
        clock=store.clock,
        logger=store.logger,
        workers=store.peers.workers,
    )


METRICS = Feature("metrics", _make)
