"""The way of a request for no plugin: its rule, the checks of all rules, its target."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote

from buntime_host import (
    BadRequest,
    DirectRequest,
    HttpError,
    MethodNotAllowed,
    NotDirect,
    NotFound,
    Reply,
    Unauthorized,
    principal_of,
)
from buntime_host.http.direct import BEGUN
from starlette.types import ASGIApp, Receive, Scope, Send

from buntime_plugin_proxy.forward.counts import ForwardCounts
from buntime_plugin_proxy.forward.direct import Begun, DirectForwarder
from buntime_plugin_proxy.forward.headers import hops_of
from buntime_plugin_proxy.forward.http import NOT_FORWARDED, HttpForwarder
from buntime_plugin_proxy.forward.passage import Passage
from buntime_plugin_proxy.forward.websocket import WebSocketForwarder
from buntime_plugin_proxy.rules.patterns import LONGEST_PATH
from buntime_plugin_proxy.rules.table import KNOWN_BYTES, MOST_KNOWN, RuleMatch, RuleTable
from buntime_plugin_proxy.upstream.errors import LoopDetected, StaleConnection
from buntime_plugin_proxy.upstream.guard import TargetGuard

USE = "proxy:use"
"""Permission of senders of requests through rules, unless a rule says that its path is public."""
_PATH = re.compile(rb"/[!\"$-;=?-~]*")
"""Printable ASCII without #, < and >."""
_DOTS = re.compile(rb"(?:^|/|%2f|%5c)(?:\.|%2e){1,2}(?:/|%2f|%5c|$|;)", re.IGNORECASE)
"""Segments . and .., also between characters that some targets take for a slash."""


class ProxyApp:
    """A `DirectApp`: serves requests that match a rule; others are not found."""

    def __init__(
        self,
        table: Callable[[], RuleTable],
        http: HttpForwarder,
        websocket: WebSocketForwarder,
        direct: DirectForwarder,
        counts: ForwardCounts,
        guard: TargetGuard,
        max_hops: int,
    ) -> None:
        self._table = table
        self._http = http
        self._websocket = websocket
        self._direct = direct
        self._counts = counts
        self._guard = guard
        self._checked_table: RuleTable | None = None
        self._checked: dict[bytes, RuleMatch] = {}
        """Paths that were checked, and their rules in the present table."""
        self._max_hops = max_hops

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket. Raises `NotFound` if there is no rule for it."""
        begun: Begun | None = scope.get("state", {}).pop(BEGUN, None)
        if begun is not None:
            await self._go_on(begun, scope, receive, send)
            return
        path = path_of(scope)
        match = self.match(scope, path)
        if match is None:
            raise NotFound
        await self.serve(match, path, scope, receive, send)

    def match(self, scope: Scope, path: bytes) -> RuleMatch | None:
        """The rule for a request."""
        return self._table().match(path, websocket=scope["type"] == "websocket")

    async def serve(
        self, match: RuleMatch, path: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Let a rule answer."""
        principal = principal_of(scope)
        is_known = bool(principal.id)
        if not principal.unlimited:
            method = scope.get("method", "WEBSOCKET")
            if not self._table().is_public(method, path):
                if not is_known:
                    raise Unauthorized
                principal.require(USE)
        try:
            _check_path(path, match)
            hops = hops_of(scope)
            if hops is None or hops >= self._max_hops:
                raise LoopDetected
            forward = self._websocket if scope["type"] == "websocket" else self._http
            passage = Passage(match, hops, is_known, principal.life, _root_of(scope), scope)
            await forward(passage, scope, receive, send)
        except HttpError as error:
            self._counts.failed(error)
            raise

    def refusal(self, method: str, path: bytes, match: RuleMatch) -> HttpError | None:
        """The refusal of a request, as far as it is known without its target."""
        try:
            if method in NOT_FORWARDED:
                raise MethodNotAllowed
            _check_path(path, match)
            self._guard.check_host(match.ready.origin.host, match.ready.origin.port)
        except HttpError as error:
            return error
        return None

    def is_direct(self, method: str, path: bytes) -> bool:  # noqa: ARG002 - as all `DirectApp` have it
        return method == "GET"

    def answer(self, request: DirectRequest) -> Reply:
        """See `DirectApp`. Raises `NotFound` and `NotDirect`."""
        table = self._table()
        if table is not self._checked_table:
            self._checked_table, self._checked = table, {}
        path = request.path
        match = self._checked.get(path)
        if match is None:
            match = table.match(path)
            if match is None:
                raise NotFound
            try:
                _check_path(path, match)
            except BadRequest as error:
                self._counts.failed(error)
                raise
            if len(path) <= KNOWN_BYTES:
                if len(self._checked) >= MOST_KNOWN:
                    self._checked.clear()
                self._checked[path] = match
        principal = request.principal
        if not principal.unlimited and not principal.allows(USE):
            raise NotDirect  # the path may be public by its rule
        return self._direct(match, request)

    async def _go_on(self, begun: Begun, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on with a request that was begun without ASGI."""
        principal = principal_of(scope)
        is_known = bool(principal.id)
        passage = Passage(begun.match, 0, is_known, principal.life, _root_of(scope), scope)
        connection = begun.take()
        try:
            try:
                await self._http.go_on(connection, passage, receive, send)
            except StaleConnection:
                await self._http(passage, scope, receive, send)
        except HttpError as error:
            self._counts.failed(error)
            raise


def _check_path(path: bytes, match: RuleMatch) -> None:
    """Raise `BadRequest` for an ambiguous path: the pattern may have judged another one than the
    target serves.
    """
    if not _PATH.fullmatch(path) or len(match.path) > 2 * LONGEST_PATH:
        raise BadRequest("The path has characters that have to be percent-encoded")
    if b"\\" in path:
        raise BadRequest("The path has a backslash, which some targets take for a slash")
    if _DOTS.search(path) or _DOTS.search(match.path):
        raise BadRequest("The path has a segment . or .., which a proxy cannot pass on")


class ShadowMiddleware:
    """Lets rules have paths below bases of plugins, with `allowShadow`."""

    def __init__(self, app: ASGIApp, proxy: ProxyApp, bases: frozenset[str]) -> None:
        self._app = app
        self._proxy = proxy
        self._bases = bases

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request or websocket."""
        path: str = scope["path"].removeprefix(scope.get("root_path", ""))
        end = path.find("/", 1)
        if (path if end < 0 else path[:end]) in self._bases:
            raw = path_of(scope)
            match = self._proxy.match(scope, raw)
            if match is not None:
                await self._proxy.serve(match, raw, scope, receive, send)
                return
        await self._app(scope, receive, send)


def path_of(scope: Scope) -> bytes:
    """The path below the root of the host, as it was sent."""
    raw: bytes | None = scope.get("raw_path")
    if raw is None:
        raw = quote(scope["path"]).encode()
    return raw.removeprefix(_root_of(scope).encode())


def _root_of(scope: Scope) -> str:
    return scope.get("root_path") or ""
