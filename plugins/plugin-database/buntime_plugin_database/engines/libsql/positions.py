"""The known end of the primary's log, shared by all workers of this host.

A read of any worker sees the writes and reads of all others, and none ever reads from a replica
that is behind these. Each worker writes a row of three numbers that the others read.

A position is the number of a frame in the log. The primary starts counting again when it begins a
new log, as it may after it was killed, and its log has no name. A host notices this by a number
that falls.
"""

from __future__ import annotations

from time import monotonic

from buntime_plugin_database.shared.counters import LocalCounters, SharedNumbers

_LOG, _LENGTH, _PRIMARY_UNTIL, _NEW_UNTIL = range(4)
"""Number of logs so far; known end of this one, 0 for none; until when reads go to the primary; and
until when others may not have noticed the log. Times are seconds of the system's monotonic clock,
which all processes share."""

NUMBERS = 4

BEYOND = 10**15 - 1
"""A position that no log reaches. A client that has it and asks another host reads from the primary
there, even if that host knows a higher position of a log that no longer exists."""


class Positions:
    """The known state of one primary's log."""

    def __init__(self, shared: SharedNumbers | None = None) -> None:
        self._shared = shared or LocalCounters(NUMBERS)

    @property
    def known(self) -> int | None:
        """The last position that any worker wrote or saw; None while there is none."""
        own = self._shared.own
        log, length = own[_LOG], own[_LENGTH]
        for _, other in self._shared.others():
            if other[_LOG] > log:
                log, length = other[_LOG], other[_LENGTH]
            elif other[_LOG] == log and other[_LENGTH] > length:
                length = other[_LENGTH]
        if log > own[_LOG]:
            own[_LENGTH] = length  # first: a concurrent reader takes it for one of the old log
            own[_LOG] = log
        return int(length) - 1 if length else None

    @property
    def primary_until(self) -> float:
        """Until when reads go to the primary."""
        return self._latest(_PRIMARY_UNTIL)

    @property
    def told(self) -> int | None:
        """The position for clients: the last one, or `BEYOND` while the log is new."""
        known = self.known
        return BEYOND if known is not None and monotonic() < self._latest(_NEW_UNTIL) else known

    def saw(self, position: int | None) -> None:
        """A client was sent a position."""
        known = self.known
        if position is not None and (known is None or position > known):
            self._shared.own[_LENGTH] = position + 1

    def begin_log(self, position: int | None, *, new_until: float = 0.0) -> None:
        """The primary has a new log, and this is how far it goes.

        Until then replicas and other hosts may not have noticed: reads go to the primary.
        """
        own = self._shared.own
        own[_NEW_UNTIL] = max(own[_NEW_UNTIL], new_until)
        self.stay_on_primary(new_until)
        log = max([own[_LOG], *(other[_LOG] for _, other in self._shared.others())])
        own[_LENGTH] = 0 if position is None else position + 1
        own[_LOG] = log + 1

    def stay_on_primary(self, until: float) -> None:
        """Let reads go to the primary until then."""
        own = self._shared.own
        own[_PRIMARY_UNTIL] = max(own[_PRIMARY_UNTIL], until)

    def _latest(self, number: int) -> float:
        latest = self._shared.own[number]
        for _, other in self._shared.others():
            latest = max(latest, other[number])
        return latest
