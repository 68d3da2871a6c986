"""One request and its response, between uvicorn's parser and the application."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Protocol, cast

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from buntime_host.connections.edge import KNOWN_NAMES, Edge
from buntime_host.connections.sending import Sending
from buntime_host.connections.transport import MAX_HELD_BYTES, GatheringTransport
from buntime_host.errors import HttpError, ServiceUnavailable, TooManyRequests
from buntime_host.http.direct import BODILESS
from buntime_host.http.direct_mounts import CONTROLS, HEADER_NAME
from buntime_host.http.noticed import noticed_of
from buntime_host.http.problem import problem_of
from buntime_host.http.statuses import STATUS_LINES
from buntime_host.routing.dispatch import SAFE_METHODS

if TYPE_CHECKING:
    from uvicorn._types import (
        ASGI3Application,
        ASGIReceiveEvent,
        ASGISendEvent,
        HTTPResponseStartEvent,
        HTTPScope,
    )
    from uvicorn.protocols.http.flow_control import FlowControl
    from uvicorn.server import ServerState

Headers = Iterable[tuple[bytes, bytes]]

GONE_POLL_SECONDS = 0.002
"""Seconds between two checks for the news that a client has gone."""
NO_CONTENT = 204


class ServedConnection(Protocol):
    """The part of a connection that a request needs."""

    transport: asyncio.Transport
    flow: FlowControl
    logger: logging.Logger
    server_state: ServerState
    edge: Edge
    sending: Sending

    def on_response_complete(self) -> None:
        """Called when the response is complete."""
        ...

    def wrote_much(self, size: int) -> None:
        """Called when a part is so large that it counts before the transport reports it."""
        ...


class AsgiExchange(RequestResponseCycle):
    """A request as ASGI sees it.

    Its response has no chunks for a client of HTTP/1.0, which would take them for content, and is
    replaced by a refusal if it is large while too much waits for slow clients already. If the body
    of the request has not arrived when the response begins, the connection ends with the response.
    """

    def __init__(  # without uvicorn's, whose eleven keywords cost more than the assignments
        self,
        scope: HTTPScope,
        connection: ServedConnection,
        *,
        keep_alive: bool,
        expect_100_continue: bool,
    ) -> None:
        self.scope = scope
        self.transport = connection.transport
        self.flow = connection.flow
        self.logger = connection.logger
        self._server_state = connection.server_state
        self.message_event = asyncio.Event()
        self.on_response = connection.on_response_complete
        self._wrote_much = connection.wrote_much
        self.edge = connection.edge
        self.sending = connection.sending
        self.disconnected = False
        self.keep_alive = keep_alive
        self.waiting_for_100_continue = expect_100_continue
        self._parts: list[bytes] = []
        self.waiting_bytes = 0
        """The part of the body that the application has not asked for yet."""
        self.more_body = True
        self.response_started = False
        self.response_complete = False
        self.chunked_encoding = None
        self.expected_content_length = 0
        self._until_close = False
        """Whether the end of the connection is the end of the response."""
        self._bodiless = False

    def add_body(self, part: bytes) -> None:
        """Take in a part of the body."""
        self._parts.append(part)
        self.waiting_bytes += len(part)
        self.message_event.set()

    def leave(self) -> None:
        """The client has gone, or gets no answer to what it still sends."""
        self.disconnected = True
        self.message_event.set()

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Write a whole response that no application sends, to a complete request."""
        self.more_body = False
        try:
            self._start(status, headers)
            if not self.disconnected:
                self._continue(body, more=False)
        except RuntimeError:
            self.logger.exception("A response is wrong")
            self._fail(HttpError())

    async def receive(self) -> ASGIReceiveEvent:
        """See ASGI. Received bytes are passed on without a copy."""
        if self.waiting_for_100_continue and not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            self.waiting_for_100_continue = False
        if not self.disconnected and not self.response_complete:
            self.flow.resume_reading()
            await self.message_event.wait()
            self.message_event.clear()
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        parts, self._parts, self.waiting_bytes = self._parts, [], 0
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        return {"type": "http.request", "body": body, "more_body": self.more_body}

    async def send(self, message: ASGISendEvent) -> None:
        """See ASGI. Waits while the client does not read what was sent before."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.transport.is_closing():
            await self._gone()
        if self.disconnected:
            return
        kind = message["type"]
        if not self.response_started:
            if kind != "http.response.start":
                raise RuntimeError(f"a response starts with 'http.response.start', not {kind!r}")
            start = cast("HTTPResponseStartEvent", message)
            self._start(start["status"], start.get("headers", ()))
        elif self.response_complete:
            raise RuntimeError(f"{kind!r} was sent after the end of the response")
        elif kind != "http.response.body":
            raise RuntimeError(f"after its start a response has 'http.response.body', not {kind!r}")
        else:
            # The one kind that is left; what its members hold is the application's.
            self._continue(message.get("body", b""), more=message.get("more_body", False))  # type: ignore[arg-type] # ASGI says so

    async def _gone(self) -> None:
        """Wait until the news that the client has gone has had its turn.

        Messages sent until then would be dropped, while their sender believed them sent.
        """
        while not (self.disconnected or self.response_complete):  # noqa: ASYNC110 - the event is that of the body, too
            await asyncio.sleep(GONE_POLL_SECONDS)

    def _start(self, status: int, headers: Headers) -> None:
        names = self.edge.names
        parts = [STATUS_LINES[status]]
        length: int | None = None
        chunked = False
        keep_alive = self.keep_alive and not self.more_body
        said_close = False
        count = 1
        # Those of now: the date is that of the answer, however long the request took.
        for pairs in (self._server_state.default_headers, headers):
            for given, value in pairs:
                name = names.get(given) or self._checked(given)
                if name == b"content-length":
                    if status == NO_CONTENT:
                        continue  # such an answer has no body, in any case (RFC 9110, 8.6)
                    length = int(value)
                elif name == b"transfer-encoding":
                    chunked = value.lower() == b"chunked"
                    if chunked:
                        continue  # written below, if the client understands it
                elif name == b"connection":
                    if b"close" in value.lower():
                        keep_alive = False
                        said_close = True
                    elif not keep_alive:
                        continue  # it says that it stays open, which it does not
                parts += (name, b": ", value, b"\r\n")
                count += 1
        bodiless = status in BODILESS or self.scope["method"] == "HEAD"
        if length is None and not bodiless:
            if self.scope["http_version"] == "1.0":
                keep_alive = False
                self._until_close = True
                chunked = False
            else:
                chunked = True
        chunked = chunked and length is None and status != NO_CONTENT
        if chunked:
            parts.append(b"transfer-encoding: chunked\r\n")
            count += 1
        if not keep_alive and not said_close:
            parts.append(b"connection: close\r\n")
            count += 1
        head = b"".join(parts)
        if len(head) - len(head.translate(None, CONTROLS)) != 2 * count:  # more than line ends
            raise RuntimeError("a response header has a control character")
        if length is not None and length > MAX_HELD_BYTES and not bodiless:
            error = self._lacking(length, status)
            if error is not None:
                known = [pair for pair in headers if pair[0] == b"x-request-id"]
                self.refuse(error, known)
                self.disconnected = True  # the application's own answer has no reader
                self.on_response()
                return
        self.keep_alive = keep_alive
        self.response_started = True
        self.waiting_for_100_continue = False
        self.chunked_encoding = chunked
        self.expected_content_length = 0 if bodiless or length is None else length
        self._bodiless = bodiless
        self.transport.write(head + b"\r\n")

    def _checked(self, given: bytes) -> bytes:
        """The header's name as it is written. Raises `RuntimeError` for an invalid one."""
        if not HEADER_NAME.fullmatch(given):
            raise RuntimeError(f"{given!r} is not the name of a header")
        names = self.edge.names
        if len(names) < KNOWN_NAMES:
            names[bytes(given)] = given.lower()
        return given.lower()

    def _lacking(self, length: int, status: int) -> HttpError | None:
        """Why so much more cannot be held for a client that may be slow; None if it can."""
        edge = self.edge
        is_done = status < HTTPStatus.BAD_REQUEST and self.scope["method"] not in SAFE_METHODS
        error = edge.unsent.lacking(self.sending.client, length, edge.now, is_done=is_done)
        if error is not None:
            edge.refused("client_unsent" if error.status == TooManyRequests.status else "unsent")
        return error

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self._bodiless:
            pass
        elif self.chunked_encoding:
            if body:
                self.transport.write(b"%x\r\n" % len(body))
                self.transport.write(body)
                self.transport.write(b"\r\n" if more else b"\r\n0\r\n\r\n")
                if len(body) > MAX_HELD_BYTES:
                    self._wrote_much(len(body))
            elif not more:
                self.transport.write(b"0\r\n\r\n")
        else:
            if not self._until_close:
                self.expected_content_length -= len(body)
                if self.expected_content_length < 0:
                    raise RuntimeError("the response is longer than its content-length")
            if body:
                self.transport.write(body)
                if len(body) > MAX_HELD_BYTES:
                    self._wrote_much(len(body))
        if not more:
            if self.expected_content_length:
                raise RuntimeError("the response is shorter than its content-length")
            self.response_complete = True
            self.message_event.set()
            self.on_response()
        elif body:
            # A part of a stream is sent before its sender goes on: if it were held back, it would
            # be dropped if the client left in the same turn.
            cast(GatheringTransport, self.transport).flush()

    async def run_asgi(self, app: ASGI3Application) -> None:
        """Let the application answer, and answer in its place if it does not."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:
            self._fail(ServiceUnavailable("The host is shutting down"))
            raise
        except Exception:  # an application may raise anything
            self.logger.exception("Exception in ASGI application")
            self._fail(HttpError())
        else:
            if noticed_of(self.scope).broken_off:
                self._fail(HttpError())
            elif not self.response_complete and not self.disconnected:
                what = "completing" if self.response_started else "starting"
                self.logger.error("ASGI callable returned without %s response.", what)
                self._fail(HttpError())
        finally:
            self.on_response = _nothing

    def _fail(self, error: HttpError) -> None:
        """Answer in the application's place; if its own answer has begun, only the end can tell."""
        if self.disconnected or self.response_complete:
            return
        if self.response_started:
            self.transport.close()
            return
        self.refuse(error)
        self.on_response()

    def refuse(self, error: HttpError, headers: Headers = ()) -> None:
        """Answer with an error that no application raised, and let the connection end."""
        self.keep_alive = False
        self.response_started = self.response_complete = True
        self.message_event.set()
        bodiless = self.scope["method"] == "HEAD"
        said = said_to_page(self.edge, self.scope.get("headers", ()))
        headers = [*self._server_state.default_headers, *headers, *said]
        self.transport.write(refusal(error, headers, bodiless=bodiless))


def _nothing() -> None:
    """The end of a response when the client has gone."""


def said_to_page(edge: Edge, headers: Headers) -> Headers:
    """The headers about origins of a refusal, for the page that the request may be from."""
    if edge.says_to_origin is None:
        return ()
    return edge.says_to_origin(next((value for name, value in headers if name == b"origin"), None))


def refusal(error: HttpError, headers: Headers, *, bodiless: bool = False) -> bytes:
    """A whole response that ends the connection, in the form of all errors."""
    problem = problem_of(error)
    body = problem.body()
    pairs: list[tuple[bytes, bytes]] = [
        *headers,
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
        *((name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers),
    ]
    lines = [STATUS_LINES[problem.status].rstrip(), *(b"%s: %s" % pair for pair in pairs), b"", b""]
    return b"\r\n".join(lines) + (b"" if bodiless else body)
