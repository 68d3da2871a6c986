"""The watchers of one store as they run."""

from __future__ import annotations

from collections.abc import Mapping

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.features.feature import Ground, Part
from buntime_plugin_keyval.features.watch.hub import WatchHub


class WatchPart(Part):
    def __init__(self, ground: Ground) -> None:
        self.config = ground.config.watch
        self.store = ground.store
        self.client_of = ground.client_of
        self.hub = WatchHub(
            self.store,
            shares=ground.watchers(),
            foreign_poll_ms=ground.config.foreign_poll.milliseconds,
        )

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"watching": self.hub.loop}

    def start(self) -> None:
        """Do nothing: the first watcher starts the loop."""

    def numbers(self) -> Mapping[str, float]:
        return {"watchers": self.hub.watcher_count}

    async def end_streams(self) -> None:
        await self.hub.close()

    close = end_streams
