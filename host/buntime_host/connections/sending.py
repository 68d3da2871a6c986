"""Unsent bytes in memory for a client that does not read them: counted and bounded."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, Protocol

from buntime_host.connections.edge import STALLED_SECONDS, Edge, Guarded, Holding

if TYPE_CHECKING:
    import socket


class SendingTransport(Protocol):
    """A transport to send by."""

    def get_write_buffer_size(self) -> int:
        """Bytes in this process that were not sent yet."""
        ...

    def get_extra_info(self, name: str) -> Any:
        """See asyncio."""
        ...


class Sending:
    """The sending side of a connection."""

    def __init__(
        self, edge: Edge, owner: Guarded, client: str | None, transport: SendingTransport
    ) -> None:
        """`client` is the client that it counts for."""
        self.client = client
        self._edge = edge
        self._transport = transport
        self._unsent = transport.get_write_buffer_size
        self._holding = Holding(edge.unsent, owner, client)
        self._seen = 0
        """Unsent bytes at the last look."""
        self._large_part = 0
        """Size of the last part of an answer that was written and is large."""

    def wait(self) -> bool:
        """Count the unsent bytes; return whether there is room for them.

        If there is none, the connection that has not moved for the longest time gives way.
        """
        edge, holding = self._edge, self._holding
        holding.moved = edge.now
        holding.set(self._held())
        if edge.unsent.lacking(self.client, 0, edge.now) is None:
            return True
        owner = holding.owner()
        if owner is not None:
            owner.make_room("answers")
        return False

    def wrote_much(self, size: int) -> bool:
        """Do the same for a large part that was just written, before the transport reports it."""
        self._large_part = size
        return self.wait()

    def count(self, *, is_waiting: bool) -> None:
        """Count bytes that the client did not take at once, if they have to wait."""
        self._holding.set(self._held() if is_waiting else 0)

    def taken(self) -> None:
        """The client has read most of it."""
        self._large_part = 0
        self._holding.set(0)
        self._holding.moved = self._edge.now

    def drop(self) -> None:
        """Nothing is unsent any more: the connection is given up."""
        self._holding.set(0)

    def look(self, now: float) -> bool:
        """Cut the connection off if its client reads nothing; return whether bytes are unsent.

        A stop does not wait for such a client as long as for the others.
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
            owner = holding.owner()
            if owner is not None:
                owner.cut()
            return True
        if holding.size:
            holding.set(self._held())
        return unsent > 0

    def _held(self) -> int:
        """Bytes in memory for the client.

        A large part stays whole until its last byte is taken, even when megabytes of it have left.
        """
        unsent = self._unsent()
        return max(unsent, self._large_part) if unsent else 0


def queued_bytes(sock: socket.socket | None) -> int:
    """Bytes that the system holds for the client without a confirmation; 0 if it does not tell.

    The system asks for more only when a third of what it holds has gone, which is megabytes:
    nothing else shows for minutes that a slow client reads.
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
