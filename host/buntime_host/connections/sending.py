"""What waits in memory for a client that does not take it: it is counted, and has a bound."""

from __future__ import annotations

from collections.abc import Callable

from buntime_host.connections.edge import Edge, Guarded, Holding


class Sending:
    """The side of a connection on which it sends."""

    def __init__(
        self, edge: Edge, owner: Guarded, client: str | None, unsent: Callable[[], int]
    ) -> None:
        """`unsent` tells how many bytes the client has not taken yet, `client` who it is."""
        self.client = client
        self._edge = edge
        self._owner = owner
        self._unsent = unsent
        self._holding = Holding(edge.unsent, owner, client)
        self._seen = 0
        """Unsent bytes at the last look."""
        self._large_part = 0
        """Bytes of the last part of an answer that was written and is large."""

    def wait(self) -> bool:
        """Count what the client does not take; whether there is room for that.

        Where there is none, the connection that has not moved for the longest time makes some.
        """
        edge, holding = self._edge, self._holding
        holding.moved = edge.now
        holding.set(self._held())
        if edge.unsent.lacking(self.client, 0, edge.now) is None:
            return True
        self._owner.make_room("answers")
        return False

    def wrote_much(self, size: int) -> bool:
        """The same of a large part that was just written, before the transport says so."""
        self._large_part = size
        return self.wait()

    def count(self, *, is_waiting: bool) -> None:
        """Count what the client has not taken at once, if it has to be waited for."""
        self._holding.set(self._held() if is_waiting else 0)

    def taken(self) -> None:
        """The client has taken most of it."""
        self._large_part = 0
        self._holding.set(0)

    def drop(self) -> None:
        """Nothing waits any more: the connection is given up."""
        self._holding.set(0)

    def look(self, now: float) -> bool:
        """Cut the connection off if its client takes nothing; whether something is unsent."""
        unsent, seen = self._unsent(), self._seen
        self._seen = unsent
        holding = self._holding
        if not unsent or unsent < seen or not seen:
            holding.moved = now
        elif now - holding.moved > self._edge.limits.send_timeout:
            self._edge.refused("send_timeout")
            self._owner.cut()
            return True
        if holding.size:
            holding.set(self._held())
        return unsent > 0

    def _held(self) -> int:
        """Bytes in memory for the client.

        Of a large part all stays until the last of it is taken: megabytes of it may have left.
        """
        unsent = self._unsent()
        return max(unsent, self._large_part) if unsent else 0
