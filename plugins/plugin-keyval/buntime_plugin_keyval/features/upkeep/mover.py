"""Moving the long values of older versions to their own table, in the background."""

from __future__ import annotations

from collections.abc import Mapping

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Part

PAUSE_SECONDS = 0.01
"""Pause between two commits, to leave room for other writes."""


class Mover(Part):
    """Moves long values in the background; does nothing in a store without old data."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = Loop(
            self._step,
            "keyval-mover",
            logger=store.logger,
            complaint="Long values could not be moved: %s",
        )

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"upkeep": self._loop}

    def start(self) -> None:
        """Go on where an earlier process stopped; the first worker does so for all."""
        workers = self._store.peers.workers
        if workers.number == 0 or workers.took_over:
            self._loop.start()

    async def _step(self) -> float | None:
        return PAUSE_SECONDS if await self._store.sql.upkeep(self._store.adapter) else None
