"""A connection as the edge sees it: its beginning, its refusals, and its end.

`protocol.py` handles its requests and answers. Refusals are answered in the form of all errors, and
counted.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from buntime_host.connections.direct_exchange import DirectExchange
from buntime_host.connections.edge import Edge, Holding, Resting
from buntime_host.connections.exchange import AsgiExchange, refusal, said_to_page
from buntime_host.connections.reading import FlowInTurns, ReadInParts
from buntime_host.connections.refused_head import OriginSearch
from buntime_host.connections.sending import Sending
from buntime_host.connections.transport import GatheringTransport
from buntime_host.errors import HttpError, RequestTimeout
from buntime_host.limits import EdgeLimits

IDLE, HEAD, BODY, ENDING = range(4)
"""The stage of a connection in what it receives: between requests, within one, or at its end."""

MIN_BODY_RATE = 256
"""Least bytes per second of a body, beyond the time for its beginning."""

HALF_CLOSED_SECONDS = 1.0
"""Seconds for an answer to a client that has closed its half of the connection."""

LINGER_SECONDS = 2.0
"""Seconds in which what a refused client still sends is read and dropped, so that it sees the
answer."""

logger = logging.getLogger("App")


class GuardedProtocol(HttpToolsProtocol):
    """One connection, whatever requests it brings."""

    cycle: AsgiExchange | DirectExchange  # type: ignore[assignment] # which is asked for the same

    def __init__(self, edge: Edge, **options: Any) -> None:
        super().__init__(**options)
        self.edge = edge
        self._limits = self.limits_of(edge)
        self._stage = IDLE
        self._since = edge.now
        """When this stage began, or a body last made progress."""
        self._running: AsgiExchange | DirectExchange | None = None
        """The request that is being answered, or was last."""
        self._has_ended = False
        """Whether the client has closed its half of the connection."""
        self._listening: asyncio.Future[None] | None = None
        """For the request that wants to know that."""
        self._backlog: memoryview | None = None
        """Received bytes that have to wait for the requests before them."""
        self._refusal: HttpError | None = None
        """A refusal to be written after the answers to the requests before it."""
        self._search: OriginSearch | None = None
        """The origin of the page that it may be for."""
        self._received = 0
        """Received bytes of the current body."""
        self._body_began = 0.0

    # How it begins and ends

    def limits_of(self, edge: Edge) -> EdgeLimits:
        """The limits of this kind of connection."""
        return edge.limits

    def connection_made(  # type: ignore[override] # as uvicorn narrows it
        self, transport: asyncio.Transport
    ) -> None:
        """Begin to serve a connection, if there is room for it."""
        gathering = GatheringTransport(transport, self.loop)
        self.gathering = self._gathering = gathering
        super().connection_made(cast(asyncio.Transport, gathering))
        self.flow = self._flow = FlowInTurns(self.transport, self.edge.turns)
        transport.set_protocol(ReadInParts(self, self._flow))
        client = self.share_of()
        self._receiving = Holding(self.edge.uploads, self, client)
        self.sending = Sending(self.edge, self, client, gathering)
        error = self.edge.join(self, client)
        if error is not None:
            self._stage = ENDING
            self.transport.write(refusal(error, self.server_state.default_headers))
            self.transport.close()

    def share_of(self) -> str | None:
        """The client that this connection counts for."""
        return self.edge.client_of(self.client[0] if self.client else None)

    def eof_received(self) -> bool:  # type: ignore[override] # as asyncio has it, not uvicorn
        """The client has closed its half of the connection: it has gone, or waits for an answer.

        The two cannot be told apart, so an answer that comes soon is still sent.
        """
        self._ends()
        if self._search is not None:
            self._search.over = True
            self._answer_refused()
        running, has_backlog = self._running, self._backlog is not None
        if (
            running is None
            or self.scheme == "https"  # TLS has no half of a connection that stays open
            or not (self._is_busy or has_backlog)
            or (running.response_started and not running.response_complete)
            or (self._stage == BODY and running is self.cycle and not has_backlog)
        ):
            self._gathering.flush()  # answers of this turn of the loop
            return False
        self._flow.pause_reading()  # until it is answered: then the end is read once more
        self.loop.call_later(HALF_CLOSED_SECONDS, self._gathering.close)
        return True

    async def hung_up(self) -> None:
        """Wait until the client closes its half; for the one request that runs."""
        if not self._has_ended:
            self._listening = self.loop.create_future()
            await self._listening

    def _ends(self) -> None:
        self._has_ended = True
        if self._listening is not None and not self._listening.done():
            self._listening.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - as asyncio calls it
        """Release the connection. Thousands may end in one turn, so the work is spread."""
        self.edge.lost(self)

    def take_leave(self) -> None:
        """Tell the request that its client has gone."""
        self._ends()
        self.connections.discard(self)
        self.edge.leave(self)
        self._receiving.set(0)
        self.sending.drop()
        self._backlog = None
        self._flow.end()
        self.pipeline.clear()
        running = self._running
        if running is not None and not running.response_complete:
            running.leave()
            self.flow.resume_writing()
        # What refers to this in turn is let go, so that all of it is freed now and not when garbage
        # is collected the next time, which is rare.
        self._running = self.cycle = None  # type: ignore[assignment] # as uvicorn begins
        self.parser = None  # type: ignore[assignment] # as above

    # What is refused

    @property
    def _is_busy(self) -> bool:
        """Whether an answer is still to come."""
        running = self._running
        return running is not None and (not running.response_complete or bool(self.pipeline))

    def _failed(self, error: BaseException) -> None:
        logger.error("A request could not be taken in", exc_info=error)
        self.refuse(HttpError(), "internal")

    def refuse(self, error: HttpError, reason: str) -> None:
        """Answer what arrives with an error, after the requests before it, and end the
        connection.
        """
        if self._stage == ENDING:
            return
        self.edge.refused(reason)
        arriving = self.cycle if self._stage == BODY else None
        self._stage = ENDING
        self._backlog = None
        self._receiving.set(0)
        if arriving is not None:
            arriving.leave()
            if arriving is not self._running:
                self.pipeline.popleft()
            elif arriving.response_started and not arriving.response_complete:
                self._gathering.abort()  # half an answer cannot be taken back
                return
            elif not arriving.response_complete:
                arriving.refuse(error)
                self._end()
                return
        self._refusal = error
        self._answer_refused()

    def _look_for_origin(self, data: bytes, *, is_unfinished: bool) -> None:
        """Look for the origin in a head that is refused; it may come later."""
        headers = self.headers or ()
        if (
            self.edge.says_to_origin is None
            or self._stage in (BODY, ENDING)
            or any(name == b"origin" for name, _ in headers)
        ):
            return
        self._search = OriginSearch(self._limits.url_bytes + self._limits.header_bytes)
        self._search.feed(data + bytes(self._backlog or b""))
        if not is_unfinished:
            self._search.over = True

    def _answer_refused(self) -> None:
        """Write the refusal once it is its turn and the origin of its page is known."""
        error, search = self._refusal, self._search
        if error is None or self._is_busy:
            return
        if search is not None and not search.over:
            self._since = self.edge.now
            self._read_on()
            return
        self._refusal = None
        headers = list(self.headers or ())
        if search is not None and search.origin is not None:
            headers.append((b"origin", search.origin))
        said = said_to_page(self.edge, headers)
        self.transport.write(refusal(error, [*self.server_state.default_headers, *said]))
        self._end()

    def _end(self) -> None:
        """Close once everything is written and what still arrives cannot cost the client its
        answer.

        A connection that is closed with unread bytes is reset, which drops what was sent.
        """
        self._backlog = None
        if self._stage == IDLE:
            self._stage = ENDING
            self.transport.close()
            return
        self._stage = ENDING
        self._since = self.edge.now
        self._receiving.set(0)
        self._gathering.end_writing()
        self._read_on()

    def _read_on(self) -> None:
        """Read bytes and drop them."""
        if not self._gathering.is_closing():
            self._flow.held = False
            self._flow.resume_reading()

    # What the edge asks for

    def pause_writing(self) -> None:
        """The client reads less than it is sent."""
        super().pause_writing()
        self.sending.wait()

    def wrote_much(self, size: int) -> None:
        """Count what was written at once, or many could write before the first of it counts.

        A transport reports that it is full only when this turn of the loop is over.
        """
        if self.sending.wrote_much(size):
            self.loop.call_soon(self._count_unsent)

    def _count_unsent(self) -> None:
        is_waiting = self._flow.write_paused and not self._gathering.is_closing()
        self.sending.count(is_waiting=is_waiting)

    def resume_writing(self) -> None:
        """The client has read most of it."""
        super().resume_writing()
        self.sending.taken()

    @property
    def rest(self) -> Resting | None:
        """Since when it is idle; None while it is not."""
        if self._stage != IDLE or self._is_busy:
            return None
        return Resting(self._running is not None, self._since)

    def cut(self) -> None:
        """Close it at once."""
        self._gathering.abort()

    def make_room(self, reason: str) -> None:
        """Give up a connection that has not moved for long."""
        if reason == "uploads":
            self.refuse(
                RequestTimeout("The body came too slowly, and others need the room"), "uploads"
            )
        else:
            self.edge.refused("unsent")
            self.sending.drop()
            self.cut()

    def look(self, now: float) -> None:
        """Close the connection, or refuse its request, if it is overdue."""
        limits = self._limits
        if self.sending.look(now):
            return
        waited = now - self._since
        stage = self._stage
        if stage == HEAD:
            if waited > limits.header_timeout:
                text = f"The headers did not arrive in {limits.header_timeout:g} s (headerTimeout)"
                self.refuse(RequestTimeout(text), "header_timeout")
        elif stage == BODY:
            self._look_at_body(now)
        elif stage == ENDING:
            if waited > LINGER_SECONDS and not self._is_busy:
                if self._refusal is None:
                    self.cut()
                elif self._search is not None:
                    self._search.over = True
                    self._answer_refused()
        elif not self._is_busy:
            allowed = limits.keep_alive_timeout if self._running else limits.header_timeout
            if waited > allowed:
                self.transport.close()

    def _look_at_body(self, now: float) -> None:
        limits = self._limits
        if self.flow.read_paused:  # the application is slow, not the client
            self._since = self._body_began = now
        began = now - self._body_began - limits.body_timeout
        late = now - self._since > limits.body_timeout
        if late or (began > 0 and self._received < began * MIN_BODY_RATE):
            text = f"Nothing of the body arrived for {limits.body_timeout:g} s (bodyTimeout)"
            slow = f"The body arrives at less than {MIN_BODY_RATE} bytes per second"
            self.refuse(RequestTimeout(text if late else slow), "body_timeout")
