"""Deliveries that count as attempts, until they are written to the store.

A lease alone is no attempt: the process that holds it may be killed before it has handed the
message to a consumer. Most messages are settled soon after they were handed over, and nothing more
is written about those. The other deliveries are counted after a while, many in one commit.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice
from time import monotonic
from typing import NamedTuple

from buntime_database import DatabaseError

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.model.clock import Clock
from buntime_plugin_keyval.model.messages import LeasedMessage
from buntime_plugin_keyval.storage.message_effects import Count

COUNT_SECONDS = 0.2
"""How long a message may go unsettled before its delivery is counted in the store. Half a lease if
that is less: other processes must not find a lease that ran out without having been counted."""

BATCH = 128
"""The most deliveries that one commit counts."""

_COMPLAINT = "Deliveries could not be counted: %s"


class _Given(NamedTuple):
    lease: str
    at: float
    """When it was handed over, by a monotonic clock."""
    ends_at_ms: int
    """When its lease ends, in the store's time, unless it is prolonged."""


class Deliveries:
    """Messages handed to consumers of this process and not settled here, the oldest first."""

    def __init__(
        self,
        write: Callable[[Sequence[Count]], Awaitable[object]],
        *,
        lease_ms: int,
        clock: Clock,
        logger: logging.Logger,
    ) -> None:
        """`write` commits the counts that it is given."""
        self._write = write
        self._lease_ms = lease_ms
        self._clock = clock
        self._logger = logger
        self._after_s = min(COUNT_SECONDS, lease_ms / 2000)
        self._given: dict[str, _Given] = {}
        self._loop = Loop(self._step, "keyval-deliveries", logger=logger, complaint=_COMPLAINT)
        self._is_idle = True
        """Whether the loop waits for a message to be handed over."""
        self._last_end_ms = 0
        self._are_ordered = True
        """Whether the leases end in the order in which they were given; queues may have leases of
        different lengths."""

    def given(self, message: LeasedMessage) -> None:
        """Note that a consumer has this message."""
        self._given.pop(message.id, None)
        if not self._given:
            self._are_ordered = True
        elif message.ends_at_ms < self._last_end_ms:
            self._are_ordered = False
        self._last_end_ms = message.ends_at_ms
        self._given[message.id] = _Given(message.lease, monotonic(), message.ends_at_ms)
        if self._is_idle:
            self._is_idle = False
            self._loop.start()
            self._loop.wake()

    def settled(self, message_id: str) -> None:
        """Forget a delivery that the store knows of: it need not be counted."""
        self._given.pop(message_id, None)

    def ended(self) -> list[Count]:
        """The counts to write before messages whose leases ran out are looked for.

        Leases that end soon are included: they may have ended by the time of the commit.
        """
        soon_ms = self._clock.now() + self._lease_ms // 2
        ended = []
        for message_id, given in self._given.items():
            if given.ends_at_ms <= soon_ms:
                ended.append(Count(message_id, given.lease))
            elif self._are_ordered:
                break
        return ended

    def counted(self, counts: Sequence[Count]) -> None:
        """Forget deliveries whose counts are written."""
        for count in counts:
            given = self._given.get(count.id)
            if given is not None and given.lease == count.lease:
                del self._given[count.id]

    async def close(self) -> None:
        """Write the remaining counts, if the database can be reached."""
        await self._loop.stop()
        self._is_idle = True
        try:
            while self._given:
                await self._write_older_than(float("inf"))
        except DatabaseError as error:
            self._logger.warning(_COMPLAINT, error)

    async def _step(self) -> float | None:
        """Write counts that are old enough; seconds until the next ones are."""
        due = monotonic() - self._after_s
        while await self._write_older_than(due):
            pass
        if not self._given:
            self._is_idle = True
            return None
        oldest = next(iter(self._given.values()))
        return max(oldest.at + self._after_s - monotonic(), self._after_s / 4)

    async def _write_older_than(self, due: float) -> bool:
        """Write one batch of counts; whether there was one."""
        counts = [
            Count(message_id, given.lease)
            for message_id, given in islice(self._given.items(), BATCH)
            if given.at <= due
        ]
        if counts:
            await self._write(counts)
            self.counted(counts)
        return bool(counts)
