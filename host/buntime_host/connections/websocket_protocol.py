"""uvicorn's websocket protocol, within the limits of the host.

`HostProtocol` has checked the handshake before; further errors in it are answered in the form of
all errors.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode
from websockets.http11 import Request

from buntime_host.connections.edge import Edge, Holding, Resting
from buntime_host.connections.exchange import refusal
from buntime_host.connections.reading import ReadInParts, TurnTakingTransport
from buntime_host.connections.sending import Sending
from buntime_host.errors import BadRequest, HttpError


class HostWebSocket(WebSocketsSansIOProtocol):
    """One websocket."""

    def __init__(self, edge: Edge, **options: Any) -> None:
        super().__init__(**options)
        self.edge = edge

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a connection that `HostProtocol` has begun."""
        in_turns = TurnTakingTransport(cast(asyncio.Transport, transport), self.edge.turns)
        self._reading = in_turns.reading
        transport.set_protocol(ReadInParts(self, self._reading))
        super().connection_made(cast(asyncio.Transport, in_turns))
        client = self.edge.connections.get(self)
        self._receiving = Holding(self.edge.uploads, self, client)
        self._sending = Sending(self.edge, self, client, self.transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the application."""
        self.edge.leave(self)
        self._reading.end()
        self._receiving.set(0)
        self._sending.drop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Receive frames, as long as there is room for incomplete messages."""
        if self.close_sent and not self.handshake_initiated:
            return  # it was refused
        super().data_received(data)
        self._count_unfinished()
        self._reading.has_read(len(data))

    def _count_unfinished(self) -> None:
        reader: Any = self.conn.reader
        held = len(reader.buffer) + sum(map(len, self.frames))
        receiving, edge = self._receiving, self.edge
        if held == receiving.size:
            return
        receiving.moved = edge.now
        receiving.set(held)
        error = edge.uploads.lacking(receiving.client, 0, edge.now)
        if error is not None:
            edge.refused("uploads")
            self._fail(CloseCode.TRY_AGAIN_LATER, "too many messages are being received")

    def handle_connect(self, event: Request) -> None:
        """Begin the handshake, or refuse it."""
        response = self.conn.accept(event)
        if response.status_code == 101:
            super().handle_connect(event)
            return
        reason = (response.body or b"").decode("utf-8", "replace").strip()
        self._refuse(BadRequest(reason or "The handshake of a websocket is wrong"))

    def handle_parser_exception(self) -> None:
        """The bytes are not a valid websocket frame."""
        if self.conn.close_sent is None:
            self._refuse(BadRequest("The handshake of a websocket is wrong"))
            return
        self.edge.refused("malformed")
        super().handle_parser_exception()

    def _refuse(self, error: HttpError) -> None:
        self.edge.refused("handshake")
        self.handshake_complete = self.close_sent = True
        self.transport.write(refusal(error, self.default_headers))
        self.transport.close()

    def send_receive_event_to_app(self) -> None:
        """Pass a message to the application, unless it is invalid text."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            self.frames = [b"".join(self.frames)]
            try:
                self.frames[0].decode()
            except UnicodeDecodeError:
                self.edge.refused("malformed")
                self.frames = []
                self._fail(CloseCode.INVALID_DATA, "text has to be UTF-8")
                return
        super().send_receive_event_to_app()

    def _fail(self, code: CloseCode, reason: str) -> None:
        """Close because of an error of the client."""
        if self.close_sent:
            return
        self.conn.fail(code, reason)
        self.stop_keepalive()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        self.transport.close()

    # What the edge asks for

    def pause_writing(self) -> None:
        """The client reads less than it is sent."""
        super().pause_writing()
        self._sending.wait()

    def resume_writing(self) -> None:
        """The client has read most of it."""
        super().resume_writing()
        self._sending.taken()

    @property
    def rest(self) -> Resting | None:
        """Never: a websocket has an application that waits for it."""
        return None

    def cut(self) -> None:
        """Close it at once."""
        self.transport.abort()

    def make_room(self, reason: str) -> None:
        """Give up a connection that has not moved for long."""
        self.edge.refused("uploads" if reason == "uploads" else "unsent")
        self._sending.drop()
        self._receiving.set(0)
        self.cut()

    def look(self, now: float) -> None:
        """Cut it off if its client reads nothing."""
        self._sending.look(now)
