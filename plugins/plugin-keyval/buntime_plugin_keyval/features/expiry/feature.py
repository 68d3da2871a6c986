"""Expiry: removes expired entries, and data of all features that is too old."""

from __future__ import annotations

from buntime_plugin_keyval.features.expiry import http
from buntime_plugin_keyval.features.expiry.sweeper import Sweeper
from buntime_plugin_keyval.features.feature import Feature, Ground
from buntime_plugin_keyval.storage.changelog import EVERYTHING


def _make(ground: Ground) -> Sweeper:
    config, store = ground.config, ground.store
    kept, age_ms = config.idempotency.max_count, config.idempotency.max_age.milliseconds

    async def clean_up(limit: int) -> int:
        removed = await store.replays.forget(keep=kept, age_ms=age_ms)
        for part in ground.parts.values():
            removed += 0 if part is None else await part.clean_up(limit)
        return removed

    async def needs_behind() -> int:
        needed = [await part.needs_behind() for part in ground.parts.values() if part is not None]
        return min([it for it in needed if it is not None], default=EVERYTHING)

    return Sweeper(
        store,
        interval_ms=config.cleanup_interval.milliseconds,
        retention=config.changes.retention(),
        clean_up=clean_up,
        needs_behind=needs_behind,
    )


EXPIRY = Feature("expiry", _make, routes=http.ROUTES)
