"""The consumers of one store as they run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.members import check_members
from buntime_keyval.wire.names import checked_name

from buntime_plugin_keyval.engine.additions import Addition, MutationParsers
from buntime_plugin_keyval.features.consumers.consumers import ConsumerDesk, Holder
from buntime_plugin_keyval.features.feature import Ground, Labelled, Part
from buntime_plugin_keyval.features.locks.feature import LOCKS
from buntime_plugin_keyval.features.locks.part import LockPart
from buntime_plugin_keyval.features.stream.feature import STREAM
from buntime_plugin_keyval.features.stream.part import StreamPart
from buntime_plugin_keyval.storage.consumers import held_position, list_consumers

MOST_LABELLED = 100
"""The most consumers that have metrics of their own."""

_MEMBERS = ("type", "name", "token", "owner", "upTo")


class ConsumerPart(Part):
    """See `Part`. Made after the locks and the stream, which it uses."""

    def __init__(self, ground: Ground) -> None:
        locking: LockPart = ground.parts[LOCKS.name]
        stream: StreamPart = ground.parts[STREAM.name]
        self.store = ground.store
        self.stream = stream
        self.consumers = ConsumerDesk(ground.store, locking.locks, stream)
        self._hold_ms = ground.config.changes.hold_for_consumers.milliseconds

    @property
    def mutations(self) -> MutationParsers:
        """`consumer`: set the position of a consumer if the commit succeeds; needs its token."""
        return {"consumer": self._read_commit}

    def numbers(self) -> Mapping[str, float]:
        return {"consumer_fetches_waiting": self.consumers.waiting}

    async def labelled_numbers(self) -> Labelled:
        """See `Part`. The first consumers by name."""
        found = await list_consumers(self.store.db, "", MOST_LABELLED, self.store.clock.now())
        return {"consumer_lag": {(it.name,): it.lag for it in found}}

    async def needs_behind(self) -> int | None:
        """See `Part`. Consumers that have not been seen for too long do not count."""
        if not self._hold_ms:
            return None
        return await held_position(self.store.db, self.store.clock.now() - self._hold_ms)

    def _read_commit(self, item: dict[str, Any], place: str, now_ms: int) -> Addition:  # noqa: ARG002 - as of all
        check_members(item, _MEMBERS, place)
        token, owner, up_to = item.get("token"), item.get("owner"), item.get("upTo")
        if not isinstance(token, str) or not token:
            raise InvalidInput(
                f"{place}.token must be the token of a fetch, received {describe(token)}"
            )
        if isinstance(up_to, bool) or not isinstance(up_to, int) or up_to < 0:
            raise InvalidInput(
                f"{place}.upTo must be the position of a record, received {describe(up_to)}"
            )
        name = checked_name(f"{place}.name", item.get("name"))
        if owner is not None:
            owner = checked_name(f"{place}.owner", owner)
        return self.consumers.commitment(Holder(name, token, owner), up_to)
