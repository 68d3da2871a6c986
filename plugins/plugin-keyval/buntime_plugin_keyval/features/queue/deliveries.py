"""Deliveries that count: who was given a message, until the store knows it.

A lease alone does not count, since whoever has it may be killed before anybody is given the
message. Most messages are settled soon after they were given, and then nothing more is written of
them. Of the others it is written down after a while, many in one commit.
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
"""How long a message may go unsettled before its delivery is written down. Half a lease if that is
less: others must not find a lease that ran out and was not counted."""

BATCH = 128
"""Deliveries that one commit counts."""

_COMPLAINT = "Deliveries could not be counted: %s"


class _Given(NamedTuple):
    lease: str
    at: float
    """When it was given, by a clock that only goes forward."""
    ends_at_ms: int
    """When its lease ends, unless it is prolonged."""


class Deliveries:
    """What this process has given to consumers and nobody has settled here, the oldest first."""

    def __init__(
        self,
        write: Callable[[Sequence[Count]], Awaitable[object]],
        *,
        lease_ms: int,
        clock: Clock,
        logger: logging.Logger,
    ) -> None:
        """`write` commits counts."""
        self._write = write
        self._lease_ms = lease_ms
        self._clock = clock
        self._logger = logger
        self._after_s = min(COUNT_SECONDS, lease_ms / 2000)
        self._given: dict[str, _Given] = {}
        self._loop = Loop(self._step, "keyval-deliveries", logger=logger, complaint=_COMPLAINT)
        self._is_idle = True
        """Whether it waits for a message to be given."""
        self._last_end_ms = 0
        self._are_ordered = True
        """Whether the leases end in the order in which they were given: queues may have their own
        duration of them."""

    def given(self, message: LeasedMessage) -> None:
        """Somebody has this message now."""
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
        """Its delivery need not be counted any more: the store knows all about it."""
        self._given.pop(message_id, None)

    def ended(self) -> list[Count]:
        """What has to be written before anybody looks for messages whose leases ran out.

        Those that run out soon are among them: they may have by the time of the commit.
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
        """These are written down."""
        for count in counts:
            given = self._given.get(count.id)
            if given is not None and given.lease == count.lease:
                del self._given[count.id]

    async def close(self) -> None:
        """Write down what is left, if that can be done now."""
        await self._loop.stop()
        self._is_idle = True
        try:
            while self._given:
                await self._write_older_than(float("inf"))
        except DatabaseError as error:
            self._logger.warning(_COMPLAINT, error)

    async def _step(self) -> float | None:
        """Write down what is old enough; seconds until the oldest of the others is."""
        due = monotonic() - self._after_s
        while await self._write_older_than(due):
            pass
        if not self._given:
            self._is_idle = True
            return None
        oldest = next(iter(self._given.values()))
        return max(oldest.at + self._after_s - monotonic(), self._after_s / 4)

    async def _write_older_than(self, due: float) -> bool:
        """Write a batch; whether there was one."""
        counts = [
            Count(message_id, given.lease)
            for message_id, given in islice(self._given.items(), BATCH)
            if given.at <= due
        ]
        if counts:
            await self._write(counts)
            self.counted(counts)
        return bool(counts)
