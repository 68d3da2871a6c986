"""Metrics that survive restarts."""

from __future__ import annotations

from buntime_plugin_keyval.features.feature import Feature, Ground
from buntime_plugin_keyval.features.metrics.saving import MetricsSaver


def _make(ground: Ground) -> MetricsSaver | None:
    config = ground.config.metrics
    if not config.persistent:
        return None
    return MetricsSaver(ground.store, interval_ms=config.flush_interval.milliseconds)


METRICS = Feature("metrics", _make)
