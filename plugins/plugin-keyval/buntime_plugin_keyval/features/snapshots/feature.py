"""Snapshots: lists over several pages that show one state of the store."""

from __future__ import annotations

from buntime_plugin_keyval.features.feature import Feature, Ground
from buntime_plugin_keyval.features.snapshots.snapshots import Snapshots


def _make(ground: Ground) -> Snapshots:
    config = ground.config.snapshots
    return Snapshots(
        ground.store,
        most=config.max_open,
        idle_ms=config.max_idle.milliseconds,
        age_ms=config.max_age.milliseconds,
        logged_ms=ground.config.changes.max_age.milliseconds,
    )


SNAPSHOTS = Feature("snapshots", _make)
