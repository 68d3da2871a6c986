"""What waits in memory for a client that does not take it: it is counted, and has a bound."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, Protocol

from buntime_host.connections.edge import STALLED_SECONDS, Edge, Guarded, Holding

if TYPE_CHECKING:
    import socket


class SendingTransport(Protocol):
    """What is sent by."""

    def get_write_buffer_size(self) -> int:
        """Bytes in this process that were not sent yet."""
        ...

    def get_extra_info(self, name: str) -> Any:
        """See asyncio."""
        ...


class Sending:
    """The side of a connection on which it sends."""

    def __init__(
        self, edge: Edge, owner: Guarded, client: str | None, transport: SendingTransport
    ) -> None:
        """`client` is whom it counts for."""
        self.client = client
        self._edge = edge
        self._owner = owner
        self._transport = transport
        self._unsent = transport.get_write_buffer_size
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
        self._holding.moved = self._edge.now

    def drop(self) -> None:
        """Nothing waits any more: the connection is given up."""
        self._holding.set(0)

    def look(self, now: float) -> bool:
        """Cut the connection off if its client takes nothing; whether something is unsent.

        A stop does not wait for it as long as for the others.
        """
        unsent, seen = self._unsent(), self._seen
        if unsent:
            unsent += queued_bytes(self._transport.get_extra_info("socket"))
        self._seen = unsent
        holding, edge = self._holding, self._edge
        patience = edge.limits.send_timeout
        if edge.closing:
            patience = min(patience, STALLED_SECONDS)
        if not unsent or unsent < seen or not seen:
            holding.moved = now
        elif now - holding.moved > patience:
            edge.refused("send_timeout")
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


def queued_bytes(sock: socket.socket | None) -> int:
    """Bytes that the system has for the client and that it has not confirmed; 0 if it is not told.

    The system asks for more only when a third of what it holds is gone, which is megabytes: of a
    slow client nothing else tells for minutes that it takes something.
    """
    if sock is None or not sys.platform.startswith("linux"):
        return 0
    import fcntl
    import termios

    try:
        (size,) = _INT.unpack(fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
    except OSError:
        return 0
    return int(size)


_INT = struct.Struct("i")
