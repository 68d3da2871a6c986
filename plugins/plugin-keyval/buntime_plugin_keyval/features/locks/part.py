"""The locks of one store as they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.members import check_members
from buntime_keyval.wire.names import checked_name

from buntime_plugin_keyval.engine.additions import CheckParsers, Requirement
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.features.feature import Ground, Part
from buntime_plugin_keyval.features.locks.locks import LockDesk
from buntime_plugin_keyval.requests.permissions import LOCK
from buntime_plugin_keyval.storage.lock_effects import holds

_MEMBERS = ("lock", "token")


class LockPart(Part):
    def __init__(self, ground: Ground) -> None:
        self.store = ground.store
        self.locks = LockDesk(ground.store, foreign_poll_ms=ground.config.foreign_poll.milliseconds)

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"locks": self.locks.loop}

    @property
    def checks(self) -> CheckParsers:
        """`lock`: a check that a lock is held under a token."""
        return {"lock": self._read_check}

    def start(self) -> None:
        super().start()
        self.store.peers.locks.listen(self.locks.loop.wake)

    def numbers(self) -> Mapping[str, float]:
        return {"lock_waiters": self.locks.waiting}

    async def clean_up(self, limit: int) -> int:
        """Remove locks and places in line that were over long ago."""
        return await self.locks.forget(limit)

    async def end_streams(self) -> None:
        self.locks.end_waits()

    async def close(self) -> None:
        self.store.peers.locks.listen(None)
        await self.locks.close()

    def condition(self, name: str, token: str) -> Requirement:
        """A condition of a commit: that a lock is held under a token."""
        guard = holds(self.store.sql, name, token, self.store.clock.now())
        return Requirement(guard, LOCK, name)

    def _read_check(self, item: dict[str, Any], place: str) -> Requirement:
        check_members(item, _MEMBERS, place)
        token = item.get("token")
        if not isinstance(token, str) or not token:
            raise InvalidInput(
                f"{place}.token must be the token of a lock, received {describe(token)}"
            )
        return self.condition(checked_name(f"{place}.lock", item.get("lock")), token)
