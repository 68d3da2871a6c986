"""Small answers to a GET, without ASGI and without a task: a third of the usual cost.

An answer that turns out to be large, slow, or a stream goes on by ASGI from where it is.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import NamedTuple

from buntime_host import Answer, DirectRequest, NotDirect, Promised
from buntime_host.http.direct import RepeatedHeaders
from buntime_host.observe.logs import REQUEST_ID

from buntime_plugin_proxy.forward.counts import ForwardCounts
from buntime_plugin_proxy.forward.headers import (
    HOP,
    Sender,
    request_headers,
    response_headers,
    says_where,
)
from buntime_plugin_proxy.forward.passage import Passage
from buntime_plugin_proxy.rules.table import ReadyRule, RuleMatch
from buntime_plugin_proxy.upstream.connection import Head, TargetConnection
from buntime_plugin_proxy.upstream.errors import StaleConnection
from buntime_plugin_proxy.upstream.pool import UpstreamPool

_REQUEST_ID = b"x-request-id"
_NO_CONTENT = (204, 304)


class Begun:
    """A request on its way, for the code that continues it."""

    def __init__(self, connection: TargetConnection, match: RuleMatch, pool: UpstreamPool) -> None:
        self.match = match
        self._connection: TargetConnection | None = connection
        self._pool = pool

    def take(self) -> TargetConnection:
        """Take its connection, which has to be given back. May be called once."""
        connection, self._connection = self._connection, None
        if connection is None:
            raise RuntimeError("somebody else goes on with it")
        return connection

    def __del__(self) -> None:
        """The request was not continued, as when its credential ended at that moment."""
        if self._connection is not None:
            self._connection.close()
            self._pool.give_back(self._connection)


class _KnownHead(NamedTuple):
    """A request's headers for a target: a client repeats them."""

    ready: ReadyRule
    is_known: bool
    """Whether the host knows their sender."""
    lines: bytes | None
    """All header lines except the request's id; None if it has to be served by ASGI."""


class _PassedHead(NamedTuple):
    """An answer's headers for clients of a rule."""

    ready: ReadyRule
    content_type: str
    """Empty if there is none, or if the answer has to go by ASGI."""
    others: tuple[tuple[bytes, bytes], ...]
    """The headers without the length."""


def _passed(connection: TargetConnection, ready: ReadyRule) -> _PassedHead:
    content_type = b""
    others = []
    if says_where(connection.headers):
        return _PassedHead(ready, "", ())  # it depends on the client
    for pair in response_headers(Head(connection.status, connection.headers), ready):
        if pair[0] == b"content-type" and not content_type:
            content_type = pair[1]
        elif pair[0] != b"content-length":
            others.append(pair)
    return _PassedHead(ready, content_type.decode("latin-1"), tuple(others))


class DirectForwarder:
    """Sends whole requests, and returns whole answers."""

    def __init__(self, pool: UpstreamPool, sender: Sender, counts: ForwardCounts) -> None:
        self._pool = pool
        self._counts = counts
        self._sender = sender

    def __call__(self, match: RuleMatch, request: DirectRequest) -> Promised:
        """Send a GET. Raises `NotDirect` if that takes more than an idle connection."""
        ready = match.ready
        lines = None if ready.rule.rewrites_pages else self._lines(ready, request)
        if lines is None:
            raise NotDirect
        connection = self._pool.take_idle(ready.origin)
        if connection is None:
            raise NotDirect
        target = match.path + b"?" + request.query if request.query else match.path
        connection.begin(
            b"GET %b HTTP/1.1\r\n%bx-request-id: %b\r\n\r\n"
            % (target, lines, (REQUEST_ID.get() or "").encode()),
            head_only=False,
        )
        connection.asker = request
        return Promised(connection.next_news(), partial(self._answer, match, request, connection))

    def _lines(self, ready: ReadyRule, request: DirectRequest) -> bytes | None:
        headers = request.headers
        is_known = bool(request.principal.id)
        if type(headers) is not RepeatedHeaders:
            return self._made(ready, request, is_known=is_known)
        known: _KnownHead | None = headers.found.get(self)
        if known is None or known.ready is not ready or known.is_known is not is_known:
            lines = self._made(ready, request, is_known=is_known)
            known = headers.found[self] = _KnownHead(ready, is_known, lines)
        return known.lines

    def _made(self, ready: ReadyRule, request: DirectRequest, *, is_known: bool) -> bytes | None:
        if any(name == HOP for name, _ in request.headers):
            return None
        scope = {
            "type": "http",
            "scheme": "http",  # the host speaks no TLS
            "client": request.client,
            "headers": [pair for pair in request.headers if pair[0] != _REQUEST_ID],
        }
        passage = Passage(RuleMatch(ready, b""), 0, is_known, request.principal.life)
        headers = request_headers(scope, passage, self._sender)
        if _REQUEST_ID in ready.set_names:
            return None
        return b"".join([b"%b: %b\r\n" % pair for pair in headers])

    def _answer(
        self,
        match: RuleMatch,
        request: DirectRequest,
        connection: TargetConnection,
        future: asyncio.Future[None],
    ) -> Answer:
        connection.asker = None
        if future.cancelled():  # the host ends
            connection.close()
            self._pool.give_back(connection)
            raise asyncio.CancelledError
        if not connection.ended or connection.failure is not None:
            return self._go_on(match, request, connection)
        known = connection.known
        passed: _PassedHead | None = None if known is None else known.found
        if passed is None or passed.ready is not match.ready:
            passed = _passed(connection, match.ready)
            if known is not None:
                known.found = passed
        status = connection.status
        if not passed.content_type or status in _NO_CONTENT:
            return self._go_on(match, request, connection)
        self._counts.answered(status)
        body = connection.taken()
        self._pool.give_back(connection)
        return Answer(status, body, passed.content_type, None, passed.others)

    def _go_on(
        self, match: RuleMatch, request: DirectRequest, connection: TargetConnection
    ) -> Answer:
        failure = connection.failure
        if request.disconnected or (failure is not None and not connection.status):
            connection.close()
            self._pool.give_back(connection)
            if failure is None or isinstance(failure, StaleConnection):
                raise NotDirect  # again, on a new one, if the client still waits
            self._counts.failed(failure)
            raise failure
        request.begun = Begun(connection, match, self._pool)
        raise NotDirect
