"""uvicorn's HTTP protocol, strict and bounded.

The parser (httptools) limits nothing, and takes quadratic time for a long header that comes in
pieces. So this module counts what it is given before the headers are complete, as well as the parts
of a body that are not content. Requests that are refused below the application are answered in the
form of all errors, and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application, HTTPScope
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from buntime_host.connections.direct_exchange import DirectExchange
from buntime_host.connections.edge import Edge
from buntime_host.connections.exchange import AsgiExchange
from buntime_host.connections.guarded import BODY, ENDING, HEAD, IDLE, GuardedProtocol
from buntime_host.connections.known_head import DIRECT_METHODS, KnownHeads, Meaning
from buntime_host.connections.observed import observed_exchange
from buntime_host.connections.request_head import (
    Refused,
    check_host_and_port,
    check_older_version,
    handshake_problem,
    headers_too_large,
    target_of,
    too_many_headers,
    url_too_long,
)
from buntime_host.errors import BadRequest, ExpectationFailed, HeadersTooLarge, HttpError
from buntime_host.http.direct import BEGUN, HUNG_UP, Header, RepeatedHeaders
from buntime_host.http.passage import ARRIVED
from buntime_host.observe.http_numbers import HttpNumbers
from buntime_host.routing.direct_way import NOTED
from buntime_host.routing.dispatch import SAFE_METHODS, RequestDispatcher

PIECE_BYTES = 2 * 1024
"""Most bytes that the parser gets at once where requests may begin: some hundred of the
smallest."""

CHUNKED_PIECE_BYTES = 4 * 1024
"""Most bytes of a body in chunks per turn of the loop; each chunk costs a call."""

FRAMING_RATIO = 16
"""Most bytes of framing for each byte of content; with chunks of one byte it is 5."""

TURN_REQUESTS = 32
TURN_SECONDS = 0.002
"""Bounds on the answers of one connection in one turn of the loop, to requests that came
together."""


class HostProtocol(GuardedProtocol):
    """One connection; websockets get the bare transport."""

    numbers: HttpNumbers
    """The counts of requests, if they are counted."""

    def __init__(self, edge: Edge, **options: Any) -> None:
        super().__init__(edge, **options)
        self._known_host = b""
        """The last good one."""
        self._upgrading = False
        dispatcher = cast(RequestDispatcher, self.app)
        self._direct = dispatcher.direct
        self._mounts = dispatcher.direct.mounts
        self._answers_directly = bool(dispatcher.direct)
        self._gate = dispatcher.gate
        self._base = dispatcher.below.base_path.encode()
        """The prefix of all paths, if there is one."""
        self.heads = dispatcher.direct.heads
        observer = dispatcher.observer
        self._direct_request: Callable[..., DirectExchange] = (
            DirectExchange if observer is None else observed_exchange(observer)
        )
        if observer is not None and observer.numbers is not None:
            self.numbers = observer.numbers
        self._at_once = 0
        """Requests that were answered at once, in this turn of the loop."""
        self._turn_ends = 0.0
        """When this turn may answer no more of them; known from the second one on."""
        self._known = KnownHeads(may_differ=self._limits.header_bytes >= PIECE_BYTES)
        self._begun = 0
        """Requests that have begun in the last bytes received."""
        # Of the request that arrives.
        self._fed = 0
        """Bytes since it began; in its body, since that began."""
        self._host: bytes | None = None
        self._noted: list[tuple[bytes, bytes]] | None = None
        """Its headers that the dispatcher wants to see."""
        self._chunked = False
        self._left = 0
        """Bytes of its body that are still to come, where the length is known."""
        self._barren = 0
        """Bytes since the last byte of its body."""

    # What comes in

    def data_received(self, data: bytes) -> None:
        """Feed the parser, with no more at a time than lets others have their turn."""
        if self._stage == ENDING:
            if self._search is not None and not self._search.over:
                self._search.feed(data)
                self._answer_refused()
            self._flow.has_read(len(data))
            return
        self._at_once = 0
        if self._backlog is not None:
            self._backlog = memoryview(bytes(self._backlog) + data)
        elif len(data) <= PIECE_BYTES:
            if not self._repeat(data):
                between = self._stage == IDLE
                self._take_in(data)
                if between and self._begun == 1 and self._stage == IDLE:
                    self._remember(data)
        else:
            self._take_in(data)
            self._flow.has_read(len(data))

    def _take_in(self, data: bytes) -> None:
        """Feed received bytes; several requests at once wait if many others sent as much."""
        turns = self.edge.turns
        self._begun = 0
        if turns.are_taken and data.count(_HEAD_END) > 1:
            self._backlog = memoryview(data)
            self._flow.hold()
            turns.wait(self._feed_backlog)
        elif len(data) <= PIECE_BYTES:
            self._feed(data)
        else:
            self._backlog = memoryview(data)
            self._feed_backlog()
        if self._begun > 1:
            turns.end(self._flow)

    def _repeat(self, data: bytes) -> bool:
        """Handle a request without the parser if its head is known; False if it has to go there."""
        running = self._running
        if self._stage != IDLE or self.pipeline or running is None or not running.response_complete:
            return False
        known = self._known.find(data)
        if known is None:
            return False
        method, url, headers, noted, host, body = known
        if len(url) > self._limits.url_bytes:
            return False
        self.url, self.headers, self._host = url, headers, host
        try:
            direct = self._direct_exchange(method, url, headers, noted, host, len(body))
            if direct is None:
                return False
            self._since = self.edge.now
            self.cycle = self._running = direct
            if body:
                direct.body = body
            direct.run()
        except Exception as error:  # noqa: BLE001 - as in a callback of the parser
            self._failed(error)
        return True

    def _remember(self, data: bytes) -> None:
        """Remember the head that was just parsed, if the bytes are exactly one request."""
        request = self.cycle
        if self._known.wants(has_body=self._left > 0) and isinstance(request, DirectExchange):
            meaning = Meaning(RepeatedHeaders(self.headers), self._noted, self._host)
            self._known.remember(data, request.method, self.url, meaning)

    def _feed_backlog(self) -> None:
        """Feed received bytes, until there are requests to be answered before the rest."""
        self._at_once = 0
        while (rest := self._backlog) is not None and self._stage != ENDING:
            in_body = self._stage == BODY and not self.pipeline
            if in_body and not self._chunked:
                size = max(self._left - self._received, PIECE_BYTES)
            else:
                size = CHUNKED_PIECE_BYTES if in_body else PIECE_BYTES
            self._backlog = rest[size:] if len(rest) > size else None
            self._feed(rest[:size])
            if self._backlog is None:
                break
            if self.pipeline or (self._stage == BODY and self._chunked):
                self._flow.hold()
                if not self.pipeline:
                    self.edge.turns.wait(self._feed_backlog)
                return
        if self._flow.held and not self._gathering.is_closing():
            self._flow.held = False
            cycle = self.cycle
            if not self.pipeline and (cycle is None or cycle.waiting_bytes <= HIGH_WATER_LIMIT):
                self._flow.resume_reading()

    def _feed(self, data: bytes | memoryview) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(bytes(data[upgrade.args[0] :]))
            return
        except httptools.HttpParserError as error:
            self._stop(error, data)
            return
        if self._stage == HEAD:
            self._check_unfinished_head(len(data))
        elif self._stage == BODY:
            self._check_unfinished_body(len(data))

    def _stop(self, error: httptools.HttpParserError, data: bytes | memoryview) -> None:
        """The parser cannot go on."""
        cause = error.__context__
        # Of a URL nothing that follows has come, of anything else at least what is wrong.
        is_unfinished = isinstance(cause, Refused) and cause.reason == "url"
        self._look_for_origin(bytes(data), is_unfinished=is_unfinished)
        if isinstance(cause, Refused):
            self._refuse_head(cause)
        elif isinstance(error, httptools.HttpParserCallbackError) and cause is not None:
            self._failed(cause)
        else:
            self.refuse(BadRequest(f"This is not a request of HTTP/1.1: {error}"), "malformed")

    def _refuse_head(self, refused: Refused) -> None:
        self.refuse(refused.error, refused.reason)

    def _check_unfinished_head(self, size: int) -> None:
        # Requests before it may have been in the same piece: then the count is too high by theirs.
        # A head that is complete is counted exactly.
        self._fed += size
        if self._fed - len(self.url) > self._limits.header_bytes + PIECE_BYTES:
            self._look_for_origin(b"", is_unfinished=True)
            self._refuse_head(headers_too_large(self._limits))
        elif len(self.headers) > self._limits.headers:
            self._look_for_origin(b"", is_unfinished=True)
            self._refuse_head(too_many_headers(self._limits))

    def _check_unfinished_body(self, size: int) -> None:
        edge = self.edge
        self._since = edge.now
        self._fed += size
        if self._received != self._receiving.size:
            self._barren = 0
            self._receiving.moved = edge.now
            self._receiving.set(self._received)
            error = edge.uploads.lacking(self._receiving.client, 0, edge.now)
            if error is not None:
                reason = "client_uploads" if error.status == 429 else "uploads"
                self.refuse(error, reason)
                return
        else:
            self._barren += size
        most = self._limits.header_bytes
        framing = self._fed - self._received
        if self._barren > most or framing > most + FRAMING_RATIO * self._received:
            text = f"Trailers and chunk extensions may have {most} bytes (limits.maxHeaderBytes)"
            self.refuse(HeadersTooLarge(text), "trailers")

    def _upgrade(self, rest: bytes) -> None:
        """The client says that it speaks another protocol from here on."""
        if self._upgrading:
            self._hand_over(rest)
            return
        # The protocol is unknown here, or the client goes on with HTTP.
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        if self._backlog is not None:
            self._backlog = memoryview(rest + bytes(self._backlog))
        elif rest:
            self.data_received(rest)

    def _hand_over(self, rest: bytes) -> None:
        """Hand the connection over to the websocket protocol."""
        self.connections.discard(self)
        if self._backlog is not None:
            rest += bytes(self._backlog)
            self._backlog = None
        self._flow.end()
        transport = self._gathering.release()
        make = cast(Any, self.ws_protocol_class)
        protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.app_state
        )
        self.edge.replace(self, protocol)
        lines = [b"GET " + self.url + b" HTTP/1.1"]
        lines += [name + b": " + value for name, value in self.headers]
        protocol.connection_made(transport)
        protocol.data_received(b"\r\n".join([*lines, b"", b""]) + rest)

    # Callbacks of the parser. What they raise stops it.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._begun += 1
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._stage = HEAD
        self._since = self.edge.now
        self._fed = self._left = self._received = self._barren = 0
        self._host = self._noted = None
        self._chunked = False

    def on_url(self, url: bytes) -> None:
        """A part of the URL, mostly all of it."""
        self.url = self.url + url if self.url else url
        if len(self.url) > self._limits.url_bytes:
            raise url_too_long(self._limits)

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header, or a trailer, which is ignored."""
        if self._stage != HEAD:
            return
        name = name.lower()
        if name != b"transfer-encoding":  # which is taken as it is, or not at all
            value = value.rstrip(b" \t")  # no part of it (RFC 9110, 5.5), and left by the parser
        if name == b"host":
            if self._host is not None:
                raise Refused(BadRequest("The header Host is given twice"))
            self._host = value
        elif name in _LOOKED_AT:
            if name not in NOTED:
                self._watch(name, value)
            elif self._noted is None:
                self._noted = [(name, value)]
            else:
                self._note(name, value)
        self.headers.append((name, value))

    def _note(self, name: bytes, value: bytes) -> None:
        """Note one more header that the dispatcher wants to see."""
        noted = self._noted or []
        if name == b"origin" and any(known == name for known, _ in noted):
            raise Refused(BadRequest("The header Origin is given twice"))
        noted.append((name, value))

    def _watch(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            self._left = int(value)  # the parser has looked at it
        elif name == b"expect":
            if value.lower() not in (b"100-continue", b""):  # its client may wait in vain
                raise Refused(ExpectationFailed())
            self.expect_100_continue |= value != b""
        elif name == b"transfer-encoding":
            if value.lower() != b"chunked":
                raise Refused(BadRequest("The header Transfer-Encoding can only be chunked"))
            self._chunked = True

    def on_headers_complete(self) -> None:
        """All headers are there: the request can begin."""
        self._check_head()
        parser = self.parser
        version = parser.get_http_version()
        method = parser.get_method().decode("ascii")
        if version != "1.1":
            check_older_version(version, is_chunked=self._chunked)
            self.expect_100_continue = False  # it would take that for the answer
        elif self._host is None:
            raise Refused(BadRequest("The header Host is missing"))
        if parser.should_upgrade() and self._wants_websocket(method, version):
            self._upgrading = True
            return
        running = self._running
        is_idle = running is None or (
            running.response_complete and not self.pipeline and not self._flow.write_paused
        )
        self._stage = BODY
        self._fed = 0
        self._body_began = self.edge.now
        if is_idle and self._answers_directly and self._has_direct_head(version, method):
            direct = self._direct_exchange(
                method, self.url, self.headers, self._noted, self._host, self._left
            )
            if direct is not None:
                self.cycle = self._running = direct
                return
        exchange = AsgiExchange(
            self._scope(version, method),
            self,
            keep_alive=version != "1.0" and parser.should_keep_alive(),
            expect_100_continue=self.expect_100_continue,
        )
        self.cycle = exchange
        if is_idle:
            self._start_asgi_task(exchange, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((exchange, self.app))

    def _has_direct_head(self, version: str, method: str) -> bool:
        """Whether a head is a common one, as all known ones are."""
        return (
            version == "1.1"
            and method in DIRECT_METHODS
            and not self._chunked
            and not self.expect_100_continue
            and _HASH not in self.url
            and self.url.isascii()
            and self.parser.should_keep_alive()
        )

    def _direct_exchange(
        self,
        method: str,
        url: bytes,
        headers: list[Header],
        noted: list[Header] | None,
        host: bytes | None,
        left: int,
    ) -> DirectExchange | None:
        """The request, if it is answered without ASGI; uncommon ones are not.

        `left` is the size of its body.
        """
        below = url
        if self._base:
            if not url.startswith(self._base + b"/"):
                return None
            below = url[len(self._base) :]
        end = below.find(b"/", 1)
        mount = self._mounts.get(below[:end]) if end > 0 else None
        if mount is None and self._direct.rest is not None:
            mount = self._direct.rest_for(below)
            end = 0  # its paths are whole
        if (
            mount is None
            or (mount.only_reads and method not in SAFE_METHODS)
            or (left and (method in SAFE_METHODS or left > mount.body_bytes))
            or self.flow.write_paused
            or (self._at_once and self._has_had_its_turn())
        ):
            return None
        path, query = below[end:], b""
        if _QUESTION_MARK in path:
            path, _, query = path.partition(b"?")
        if not mount.app.is_direct(method, path):
            return None
        admitted = None
        if noted is not None:
            admitted = self._direct.admit(noted, host or b"", mount)
            if admitted is None:
                return None
        elif not self._gate.is_open:
            return None  # it has no credential
        return self._direct_request(self, mount, method, path, query, headers, admitted, url)

    def _has_had_its_turn(self) -> bool:
        """Whether others have their turn now: the next request is a task, which waits for its
        turn.
        """
        if self._at_once == 1:
            self._turn_ends = perf_counter() + TURN_SECONDS
        return self._at_once >= TURN_REQUESTS or perf_counter() > self._turn_ends

    def _scope(self, version: str, method: str) -> HTTPScope:
        """The request in the form of ASGI. Raises `Refused`."""
        url, raw_path = target_of(method, self.url, self._host)
        path = raw_path.decode("ascii")
        if "%" in path:
            path = unquote(path)
        root = self.root_path
        return {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme or "http",
            "method": method,
            "root_path": root,
            "path": root + path,
            "raw_path": root.encode("ascii") + raw_path,
            "query_string": url.query or b"",
            "headers": self.headers,
            "state": self.app_state.copy(),
            "extensions": {HUNG_UP: {"wait": self.hung_up}},
        }

    def _check_head(self) -> None:
        """Raise `Refused` for headers that are too many, or wrong."""
        limits, headers = self._limits, self.headers
        if len(headers) > limits.headers:
            raise too_many_headers(limits)
        if self._fed + PIECE_BYTES > limits.header_bytes:
            size = sum(len(name) + len(value) for name, value in headers)
            if size > limits.header_bytes:
                raise headers_too_large(limits)
        host = self._host
        if host is not None and host != self._known_host:
            check_host_and_port(host)
            if self._gate.is_open:
                self._check_host(host)
            self._known_host = host

    def _check_host(self, host: bytes) -> None:
        """Raise `Refused` for a name that an open host does not answer to."""
        try:
            self._gate.check_host(host, self.server[0] if self.server else None)
        except HttpError as error:
            raise Refused(error, "untrusted_host") from None

    def _wants_websocket(self, method: str, version: str) -> bool:
        """Whether this is a handshake of a websocket. Raises `Refused` for one that is wrong."""
        if self._get_upgrade() != b"websocket" or self.ws_protocol_class is None:
            return False
        problem = handshake_problem(
            method,
            version,
            self.url,
            self.headers,
            has_body=bool(self._left or self._chunked),
            has_to_wait=self._is_busy,
        )
        if problem is not None:
            raise Refused(problem, "handshake")
        return True

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        self._received += len(body)
        cycle = self.cycle
        if cycle.response_complete or cycle.disconnected:
            return
        cycle.add_body(body)
        if cycle.waiting_bytes > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self._upgrading:
            return
        self._stage = IDLE
        self._since = self.edge.now
        if self._receiving.size:
            self._receiving.set(0)
        cycle = self.cycle
        if cycle.response_complete:
            return
        if isinstance(cycle, DirectExchange):
            cycle.run()
        else:
            cycle.more_body = False
            cycle.message_event.set()

    # Answers

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cast(AsgiExchange, cycle)
        task = self.loop.create_task(cycle.run_asgi(app))
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def answered_at_once(self) -> None:
        """A request is answered, while nothing else waits here."""
        self.server_state.total_requests += 1
        self._at_once += 1

    def answer_uncommon(
        self, request: DirectExchange, status: int, headers: list[Header], body: bytes
    ) -> None:
        """Write an answer in the form of those of ASGI."""
        scope = cast(HTTPScope, {"method": request.method, "http_version": "1.1"})
        exchange = AsgiExchange(
            scope, self, keep_alive=request.keep_alive, expect_100_continue=False
        )
        self._replace(request, exchange)
        exchange.answer(status, headers, body)

    def go_by_asgi(self, request: DirectExchange) -> None:
        """Hand a request over to ASGI."""
        url, headers = self.url, self.headers  # perhaps of the next request
        self.url, self.headers = request.url, request.headers.copy()
        scope = self._scope("1.1", request.method)
        self.url, self.headers = url, headers
        if request.whole_path:
            scope["state"][ARRIVED] = request
        exchange = AsgiExchange(
            scope, self, keep_alive=request.keep_alive, expect_100_continue=False
        )
        if request.begun is not None:
            scope["state"][BEGUN] = request.begun
        exchange.add_body(request.body)
        exchange.more_body = False
        self._replace(request, exchange)
        self._start_asgi_task(exchange, self.app)

    def _replace(self, request: DirectExchange, exchange: AsgiExchange) -> None:
        request.response_complete = True
        self._running = exchange
        if self.cycle is request:
            self.cycle = exchange

    def on_response_complete(self) -> None:
        """A request is answered: continue with the next one."""
        self.server_state.total_requests += 1
        if self._gathering.is_closing():
            return
        running = self._running
        if running is not None and not running.keep_alive:
            self._end()
        elif self.pipeline:
            self.edge.turns.wait(self._start_next)
        elif self._refusal is not None:
            self._answer_refused()
        else:
            self._since = self.edge.now
            if self._backlog is not None:
                self.edge.turns.wait(self._feed_backlog)
            else:
                self.flow.resume_reading()

    def _start_next(self) -> None:
        """Begin with the waiting request, unless its client does not read the previous answers.

        Two answers would be in memory for the client, and only one of them would count.
        """
        running = self._running
        if not self.pipeline or (running is not None and not running.response_complete):
            return  # it has begun meanwhile, or its client has gone
        if self._gathering.get_write_buffer_size() <= HIGH_WATER_LIMIT:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
            if self._backlog is not None and not self.pipeline:
                self.edge.turns.wait(self._feed_backlog)  # its body may be in there

    def resume_writing(self) -> None:
        """The client has read most of it: the next request may begin."""
        super().resume_writing()
        self._start_next()


_HEAD_END = b"\r\n\r\n"
_HASH = ord("#")
_QUESTION_MARK = ord("?")
"""Numbers, since whether bytes have one is found in a fraction of the time."""
_LOOKED_AT = NOTED | {b"content-length", b"expect", b"transfer-encoding"}
