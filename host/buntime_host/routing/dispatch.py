"""The way of every request: one look at its headers, one at its first path segment, then a plugin.

This is the hot path: a few microseconds per request, and nothing that a request does not need.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import suppress

from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from buntime_host.access import EVERYONE, Principal, principal_of
from buntime_host.access.audit import Audit
from buntime_host.access.gate import ANONYMOUS, Gate, unauthorized
from buntime_host.access.keyring import Keyring
from buntime_host.access.signed import Signed
from buntime_host.errors import AnswerBrokenOff, Forbidden, HttpError, NotFound, PayloadTooLarge
from buntime_host.http.below import Below
from buntime_host.http.body_limit import BodyLimit
from buntime_host.http.cors import (
    VARY,
    Header,
    answer_headers,
    preflight_headers,
    with_answer_headers,
)
from buntime_host.http.direct import send_answer
from buntime_host.http.inflate import Inflated, is_gzip
from buntime_host.http.noticed import notice
from buntime_host.http.origin import OriginPolicy
from buntime_host.http.passage import GuardedPassage, HeadOfAsgi, Passing
from buntime_host.http.problem import problem_of, refuse_websocket, send_problem
from buntime_host.http.websockets import OpenSockets, ServedSocket, SocketGone
from buntime_host.observe.observer import Observer
from buntime_host.routing.aliases import Aliases
from buntime_host.routing.direct_way import DirectWay
from buntime_host.routing.entrance import Entrance
from buntime_host.routing.headers import REQUEST_ID_HEADER, Said, of_plain_body, read_headers
from buntime_host.routing.mount_table import MountTable
from buntime_host.routing.mounts import Mount
from buntime_host.routing.request_hooks import RequestHook, RequestHooks

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_BODILESS = SAFE_METHODS | {"DELETE"}
"""Methods whose requests have a body so seldom that few look for one."""
INTERNAL_ERROR = 500
WEBSOCKET_INTERNAL_ERROR = 1011
SWITCHING = 101
"""The status of a handshake that is accepted."""

logger = logging.getLogger("App")


class RequestDispatcher:
    """Routes requests and websockets to mounts; an ASGI application without lifespan."""

    observer: Observer | None = None
    """Sees all requests; None where nothing is told of them, see `ObservedDispatcher`."""

    def __init__(
        self,
        mounts: Mapping[str, Mount],
        *,
        limit: int,
        origins: OriginPolicy | None = None,
        aliases: Aliases | None = None,
        middleware: Sequence[Middleware] = (),
        on_request: Sequence[RequestHook] = (),
        on_response: Sequence[RequestHook] = (),
        gate: Gate | None = None,
        tickets: Signed | None = None,
        audit: Audit | None = None,
        api: str = "/api",
        fallback: Mount | None = None,
        passage: GuardedPassage | None = None,
        below: Below | None = None,
    ) -> None:
        """`gate` lets everybody in unless one is given. `api` is the path of the host's own API.

        `fallback` is the mount of paths that no other one is for; `below` is what is before all.
        """
        self.table = MountTable(mounts, aliases or Aliases({}), fallback)
        self._find = self.table.find
        self._limit = limit
        self.below = below or Below()
        """What is before the paths of the mounts."""
        self.gate = gate or Gate(Keyring())
        """Who gets in."""
        self._entrance = Entrance(self.gate, tickets, api)
        self._audit = audit or Audit("off")
        self._origins = origins or OriginPolicy()
        # What every answer says of origins; None where no origin but the host's own is trusted.
        self._of_origins: list[Header] | None = [VARY] if self._origins.trusts_others else None
        # None unless a plugin has one: what every request passes, on both ways.
        self._passage = passage
        self.sockets = OpenSockets()
        # None when there is neither middleware nor hook: then a mount is called directly.
        self._pipeline: ASGIApp | None = None
        if on_request or on_response:
            self._pipeline = RequestHooks(on_request, on_response, self._find, self._serve, logger)
        if middleware:
            pipeline = self._pipeline or self._serve
            for cls, args, kwargs in reversed(middleware):
                pipeline = cls(pipeline, *args, **kwargs)
            self._pipeline = pipeline
        # Whoever looks at all requests sees them as ASGI has them.
        sees_all = self._pipeline is not None or self._audit.of_reads
        # What is below no base may have to tell clients of paths, which nothing on the direct way
        # knows from without.
        rest = None if self.below.base_path else fallback
        self.direct = DirectWay(
            self.table,
            rest,
            self.gate,
            self._origins,
            passage,
            only_reads=self._audit.of_writes,
            is_open=not sees_all,
        )
        """What is answered without ASGI."""

    @property
    def has_pages_elsewhere(self) -> bool:
        """Whether pages of any origin but the host's own may be trusted."""
        return self._of_origins is not None or self._passage is not None

    def says_to_origin(self, origin: bytes | None) -> list[Header]:
        """Headers of an answer to a page of an origin that comes from below all of this."""
        if origin is not None and self._origins.trusts(origin):
            return answer_headers(origin)
        passage = self._passage
        try:
            if origin is not None and passage is not None and passage.trusts(origin.lower()):
                takes_cookies = passage.takes_cookies(origin.lower())
                return answer_headers(origin, credentials=takes_cookies)
        except Exception:  # a plugin may raise anything, and the answer is a refusal already
            logger.exception("The passage of %s failed", passage.name if passage else "nobody")
        return [VARY] if self.has_pages_elsewhere else []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket."""
        said = read_headers(scope)
        state = scope.get("state")
        if state is None:
            scope["state"] = state = {}
        state["request_id"] = said.request_id.decode()
        # Until somebody has been asked who he is, he may do nothing.
        state["principal"] = ANONYMOUS
        elsewhere: HttpError | None = None
        if said.prefix is not None or self.below.base_path:
            try:
                self.below.enter(scope, said.prefix)
            except HttpError as error:
                elsewhere = error
        if scope["type"] == "http":
            await self._request(scope, receive, send, said, elsewhere)
        elif elsewhere is None:
            await self._websocket(scope, receive, send, said)
        else:
            await refuse_websocket(scope, send, problem_of(elsewhere))

    async def _request(
        self, scope: Scope, receive: Receive, send: Send, said: Said, elsewhere: HttpError | None
    ) -> None:
        """Serve a request; `elsewhere` is what is wrong with where it is sent to."""
        method, origin = scope["method"], said.origin
        of_origins = self._of_origins
        if of_origins is not None and origin is not None and self._origins.trusts(origin):
            of_origins = answer_headers(origin)
            preflight = preflight_headers(origin, scope["headers"]) if method == "OPTIONS" else None
            if preflight is not None:
                await _no_content(send, [*preflight, (REQUEST_ID_HEADER, said.request_id)])
                return
        if self._audit.of_writes and self._audit.wants(method):
            send = self._remembered(scope, send)
        # Behind a passage it was seen to already what an untrusted page may know.
        is_seen_to = self._passage is not None and of_origins is self._of_origins
        head = _AnswerHead(send, said.request_id, of_origins, is_seen_to=is_seen_to)
        respond: Send = head.send
        passing: Passing | None = None
        if self._passage is not None:
            if method == "OPTIONS":
                answer = self._passage.preflight(HeadOfAsgi(scope))
                if answer is not None:
                    await send_answer(head.send, answer)
                    return
            passing = Passing(self._passage, scope, head.send, strips=self._of_origins is not None)
            respond = passing.send
        reply = respond
        try:
            self._check_page(scope, said)
            if elsewhere is not None:
                raise elsewhere
            mount = self._find(scope)
            scope["state"]["principal"] = await self._entrance.principal(
                scope, mount, said, said.cookie
            )
            if passing is not None and await passing.answers():
                return
            limit = self._limit if mount is None else mount.limit
            takes_encoded = mount is not None and mount.takes_encoded
            receive = _body(scope, said, receive, limit, takes_encoded=takes_encoded)
        except HttpError as error:
            await send_problem(respond, problem_of(error))
            return
        if _is_without_length(method, said):
            body = BodyLimit(limit, receive, respond)
            receive, reply = body.receive, body.send
        if method not in SAFE_METHODS and not self.gate.is_open:
            receive = _while_good(receive, scope["state"]["principal"])
        try:
            if self._pipeline is not None:
                await self._pipeline(scope, receive, reply)
            elif mount is not None:
                root = scope.get("root_path")
                scope["root_path"] = root + mount.root_path if root else mount.root_path
                await mount.app(scope, receive, reply)
            else:
                raise NotFound
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises becomes a response
            await _failed(error, scope, respond, started=head.started)

    def _check_page(self, scope: Scope, said: Said) -> None:
        """Raise `Forbidden` for what a foreign page may not send, and believe no cookie of one."""
        origin, site, origins = said.origin, said.site, self._origins
        if (origin is not None or site is not None) and not origins.permits(
            origin, site, said.host
        ):
            if scope["method"] not in SAFE_METHODS:
                raise Forbidden(code="ORIGIN_NOT_ALLOWED")
            notice(scope).foreign = True
            said.cookie = None  # its browser sent that, and not the page
        elif said.cookie is not None and not origins.takes_cookies(origin, said.host):
            said.cookie = None

    def _remembered(self, scope: Scope, send: Send) -> Send:
        """What sends an answer, and has the audit note which one it was."""
        peer = self.gate.peer_of(scope)

        def send_and_note(message: Message) -> Awaitable[None]:
            status = _status_of(message)
            if status is not None:
                self._audit.note(dict(scope), status, peer)
            return send(message)

        return send_and_note

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what has come through middleware and hooks."""
        mount = self._find(scope)
        if mount is None:
            raise NotFound
        # A hook may have made it another request, with a state of its own, to another plugin.
        scope.setdefault("state", {}).setdefault(
            "principal", EVERYONE if self.gate.is_open else ANONYMOUS
        )
        if mount.asks_for is not None and not self._entrance.is_public(scope, mount):
            principal_of(scope).require(mount.asks_for)
        scope["root_path"] = scope.get("root_path", "") + mount.root_path
        await mount.app(scope, receive, send)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send, said: Said) -> None:
        origin, host = said.origin, said.host
        allowed = self._origins.permits(origin, said.site, host)
        cookie = said.cookie
        if cookie is not None and not self._origins.takes_cookies(origin, host):
            cookie = None
        if self._audit.wants("WEBSOCKET"):
            send = self._remembered(scope, send)
        mount = self._find(scope)
        passing: Passing | None = None
        if self._passage is not None:
            passing = Passing(self._passage, scope, send, strips=False)
            send = passing.send
        try:
            if not allowed:
                raise Forbidden(code="ORIGIN_NOT_ALLOWED")
            scope["state"]["principal"] = await self._entrance.principal(scope, mount, said, cookie)
        except HttpError as error:
            await refuse_websocket(scope, send, problem_of(error))
            return
        if passing is not None and await passing.answers():
            return
        socket = self.sockets.track(scope, send)
        try:
            if self._pipeline is not None:
                await self._pipeline(scope, receive, socket.send)
            elif mount is not None:
                scope["root_path"] = scope.get("root_path", "") + mount.root_path
                await mount.app(scope, receive, socket.send)
            else:
                raise NotFound
        except (SocketGone, WebSocketDisconnect):
            pass  # it is closed, and the plugin has noticed
        except Exception as error:  # noqa: BLE001 - whatever a plugin raises becomes a response
            await self._websocket_failed(error, socket, scope, send)
        else:
            if not socket.accepted and not socket.closed:
                logger.error("Neither accepted nor refused: the websocket at %s", scope["path"])
                with suppress(OSError):  # the client may be gone
                    await refuse_websocket(scope, send, problem_of(HttpError()))
        finally:
            socket.finished()

    async def _websocket_failed(
        self, error: Exception, socket: ServedSocket, scope: Scope, send: Send
    ) -> None:
        problem = problem_of(error)
        if problem.status == INTERNAL_ERROR:
            logger.error("Unhandled exception at %s", scope["path"], exc_info=error)
        if not socket.accepted and not socket.closed:
            await refuse_websocket(scope, send, problem)
        elif not socket.closed:
            await socket.send({"type": "websocket.close", "code": WEBSOCKET_INTERNAL_ERROR})


class _AnswerHead:
    """Puts into the head of an answer what the host says in each."""

    def __init__(
        self, send: Send, request_id: bytes, of_origins: list[Header] | None, *, is_seen_to: bool
    ) -> None:
        """`is_seen_to` says whether there is nothing left in answers that is said of origins."""
        self._send = send
        self._id = (REQUEST_ID_HEADER, request_id)
        self._of_origins = of_origins
        self._is_seen_to = is_seen_to
        self.started = False
        """Whether an answer has begun."""

    # Not `async`: the server's own coroutine is handed through, without a frame of ours.
    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.started = True
            headers = [h for h in message.get("headers", ()) if h[0] != REQUEST_ID_HEADER]
            headers.append(self._id)
            if self._of_origins is not None:
                if self._is_seen_to:
                    headers += self._of_origins
                else:
                    headers = with_answer_headers(headers, self._of_origins)
            # A plugin may send the same message object every time, so it is not changed.
            message = {**message, "headers": headers}
        return self._send(message)


def _body(
    scope: Scope, said: Said, receive: Receive, limit: int, *, takes_encoded: bool
) -> Receive:
    """How a body is received: plain, unless its mount takes it as it comes.

    Raises `PayloadTooLarge` for one that says it is larger than the limit, and
    `UnsupportedEncoding`. What turns out to be larger is for `BodyLimit`.
    """
    length = said.length
    if length is not None and not said.fits(limit):
        raise PayloadTooLarge
    has_body = said.chunked or length not in (None, b"0")
    if said.encoding is not None and not takes_encoded and has_body and is_gzip(said.encoding):
        receive = Inflated(limit, receive).receive
        scope["headers"] = of_plain_body(scope["headers"])
        said.length = None
    if scope["method"] in _BODILESS and (has_body or _is_without_length(scope["method"], said)):
        notice(scope).unasked_body = True
    return receive


def _is_without_length(method: str, said: Said) -> bool:
    """Whether a request may have a body that does not say how long it is."""
    return said.chunked or (
        said.length is None and (bool(said.encoding) or method not in SAFE_METHODS)
    )


def _while_good(receive: Receive, principal: Principal) -> Receive:
    """The same, but of a body that comes after its sender's credential has ended: raises
    `Unauthorized`.
    """

    async def receive_while_good() -> Message:
        message = await receive()
        if principal.life.over and message["type"] == "http.request":
            raise unauthorized()
        return message

    return receive_while_good


async def _no_content(send: Send, headers: list[Header]) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


async def _failed(error: Exception, scope: Scope, send: Send, *, started: bool) -> None:
    """Answer an exception, if there is still something to answer."""
    if isinstance(error, ClientDisconnect):
        return  # nobody is left to be told
    # Without the end of a response that has begun, the server closes the connection.
    if started:
        notice(scope).broken_off = True
        if isinstance(error, AnswerBrokenOff):
            logger.warning(
                "The answer to %s %s broke off: %s", scope["method"], scope["path"], error
            )
            return
    problem = problem_of(error)
    if problem.status == INTERNAL_ERROR or started:
        logger.error("Unhandled exception at %s %s", scope["method"], scope["path"], exc_info=error)
    if not started:
        await send_problem(send, problem)


def _status_of(message: Message) -> int | None:
    """The status that a message begins an answer with; None if it does not."""
    kind = message["type"]
    if kind == "websocket.accept":
        return SWITCHING
    if kind in ("http.response.start", "websocket.http.response.start"):
        status: int = message["status"]
        return status
    return None
