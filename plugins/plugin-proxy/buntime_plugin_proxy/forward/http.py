"""Forwarding one HTTP request, and its answer."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, NamedTuple

from buntime_host import AnswerBrokenOff, MethodNotAllowed, Unauthorized
from starlette.types import Message, Receive, Scope, Send

from buntime_plugin_proxy.config import ProxyConfig
from buntime_plugin_proxy.forward.counts import ForwardCounts
from buntime_plugin_proxy.forward.headers import (
    Sender,
    names_told,
    request_headers,
    response_headers,
)
from buntime_plugin_proxy.forward.html import (
    changed_headers,
    is_page,
    is_part_of_page,
    plain,
    rewritten,
    stands_for_page,
)
from buntime_plugin_proxy.forward.passage import Passage
from buntime_plugin_proxy.rules.table import RuleMatch
from buntime_plugin_proxy.upstream.connection import Head, TargetConnection
from buntime_plugin_proxy.upstream.errors import BadGateway, GatewayTimeout, StaleConnection
from buntime_plugin_proxy.upstream.known_heads import Headers
from buntime_plugin_proxy.upstream.pool import UpstreamPool

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that may be sent again if a kept connection has ended, since they change nothing."""
NOT_FORWARDED = ("CONNECT", "TRACE")
WATCH_AFTER = 0.5
"""Seconds after which an unanswered request is watched, since its client may leave."""
EVENTS = b"text/event-stream"


_CHUNKED: Headers = [(b"transfer-encoding", b"chunked")]
_WITHOUT_BODY = frozenset({"GET", "HEAD", "OPTIONS", "DELETE"})
"""Methods whose requests have a body only if their headers say so."""
PAGE_ON_LOOP = 64 * 1024
"""The most bytes of a page that is rewritten on the event loop; larger ones in a thread."""


_OF_PARTS = frozenset({b"range", b"if-range"})


class _PartOfPage(Exception):
    """The target has sent a part of a page, which can only be rewritten as a whole."""


class NobodyWaits(Exception):
    """The client has gone."""


class _Request(NamedTuple):
    """The request for a target."""

    passage: Passage
    method: str
    head: bytes
    body: Message | None
    """The beginning of the body; None if there is none."""
    chunked: bool
    asks_for_part: bool = False
    """Whether it asks for a part, and may be sent again for the whole."""


class HttpForwarder:
    """Sends requests to targets."""

    def __init__(
        self,
        pool: UpstreamPool,
        sender: Sender,
        config: ProxyConfig,
        counts: ForwardCounts,
        closing: asyncio.Event,
        logger: logging.Logger,
    ) -> None:
        self._pool = pool
        self._counts = counts
        self._sender = sender
        self._config = config
        self._closing = closing
        self._logger = logger

    async def __call__(self, passage: Passage, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises `HttpError` as long as no answer has begun."""
        method: str = scope["method"]
        if method in NOT_FORWARDED:
            raise MethodNotAllowed
        match, ready = passage.match, passage.match.ready
        headers = request_headers(scope, passage, self._sender)
        framing, first = await _framing(scope["headers"], method, receive)
        headers += framing
        if ready.rule.rewrites_pages:
            headers = [pair for pair in headers if pair[0] != b"accept-encoding"]
            headers.append((b"accept-encoding", b"identity"))
            has_body = first is not None
            headers = [pair for pair in headers if not _is_for_parts(pair, or_one=has_body)]
        query: bytes = scope.get("query_string", b"")
        target = match.path + b"?" + query if query else match.path
        lines = [b"%b: %b\r\n" % pair for pair in headers]
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode("ascii"), target, b"".join(lines))
        asks_for_part = method == "GET" and any(name == b"range" for name, _ in headers)
        request = _Request(passage, method, head, first, framing == _CHUNKED, asks_for_part)
        try:
            try:
                await self._attempt(request, receive, send, fresh=False)
            except StaleConnection:
                if method not in REPEATABLE or first is not None:
                    raise
                await self._attempt(request, receive, send, fresh=True)
        except _PartOfPage:
            lines = [b"%b: %b\r\n" % pair for pair in headers if pair[0] not in _OF_PARTS]
            head = b"GET %b HTTP/1.1\r\n%b\r\n" % (target, b"".join(lines))
            whole = request._replace(head=head, asks_for_part=False)
            await self._attempt(whole, receive, send, fresh=False)

    async def _attempt(
        self, request: _Request, receive: Receive, send: Send, *, fresh: bool
    ) -> None:
        connection = await self._pool.take(request.passage.match.ready.origin, fresh=fresh)
        connection.begin(request.head, head_only=request.method == "HEAD")
        await self._finish(
            request.passage,
            request.method,
            _Exchange(receive, connection, asks_for_part=request.asks_for_part),
            send,
            request.body,
            chunked=request.chunked,
        )

    async def go_on(
        self, connection: TargetConnection, passage: Passage, receive: Receive, send: Send
    ) -> None:
        """Answer a GET that was sent already. Raises as `__call__` does."""
        await self._finish(passage, "GET", _Exchange(receive, connection), send, None)

    async def _finish(
        self,
        passage: Passage,
        method: str,
        exchange: _Exchange,
        send: Send,
        body: Message | None,
        *,
        chunked: bool = False,
    ) -> None:
        # A credential that is withdrawn ends the requests that it began.
        take_back = passage.life.when_over(exchange.end_of_credential)
        try:
            if body is not None:
                await exchange.upload(body, chunked=chunked)
            answer = await exchange.head()
            await self._answer(passage, method, answer, exchange, send)
        except NobodyWaits:
            # A waiting client may get an answer, unless it has gone.
            if exchange.credential_ended and not exchange.answered:
                raise Unauthorized from None
            if exchange.credential_ended:
                raise AnswerBrokenOff("the credential has ended") from None
        finally:
            take_back()
            exchange.end()
            self._pool.give_back(exchange.connection)

    async def _answer(
        self, passage: Passage, method: str, answer: Head, exchange: _Exchange, send: Send
    ) -> None:
        match = passage.match
        rewrites = match.ready.rule.rewrites_pages
        if rewrites and exchange.asks_for_part and is_part_of_page(answer.status, answer.headers):
            raise _PartOfPage
        self._counts.answered(answer.status)
        names = partial(names_told, passage, self._sender)
        headers = response_headers(answer, match.ready, passage.root, names)
        before = b""
        if rewrites:
            if is_page(answer.status, answer.headers, method):
                before = await self._page(match, answer, headers, exchange, send)
                if not before:
                    return
            elif stands_for_page(answer.status, answer.headers, method):
                headers = changed_headers(headers)
        is_stream = any(
            name == b"content-type" and value.lower().startswith(EVENTS) for name, value in headers
        )
        exchange.connection.expects_soon = not is_stream
        exchange.answered = True
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if before:
            await send({"type": "http.response.body", "body": before, "more_body": True})
        closing = self._closing if is_stream else None
        try:
            await exchange.download(send, closing)
        except (BadGateway, GatewayTimeout) as error:
            self._counts.broken_off()
            raise AnswerBrokenOff(f"rule {match.ready.rule.id}: {error}") from error

    async def _page(
        self, match: RuleMatch, answer: Head, headers: Headers, exchange: _Exchange, send: Send
    ) -> bytes:
        """Send a page as its rule demands. Sends its beginning unchanged if the page has to
        pass.
        """
        rule = match.ready.rule
        most = self._config.max_html_size
        read = bytearray()
        connection = exchange.connection
        while True:
            ended = connection.ended
            read += connection.taken()
            if len(read) > most:
                self._logger.warning("A page for rule %s is too large to be rewritten", rule.id)
                return bytes(read)
            if ended:
                break
            await exchange.news()
        page = plain(bytes(read), answer.headers, most)
        if page is None:
            made = None
        elif len(page) <= PAGE_ON_LOOP:
            made = rewritten(page, answer.headers, rule)
        else:
            made = await asyncio.to_thread(rewritten, page, answer.headers, rule)
        if made is None:
            self._logger.warning("A page for rule %s cannot be read", rule.id)
            made, kept = bytes(read), headers
        else:
            kept = changed_headers(headers, len(made))
        exchange.answered = True
        await send({"type": "http.response.start", "status": answer.status, "headers": kept})
        await send({"type": "http.response.body", "body": made})
        return b""


class _Exchange:
    """One request on a connection, which also watches whether its client is still there."""

    def __init__(
        self, receive: Receive, connection: TargetConnection, *, asks_for_part: bool = False
    ) -> None:
        self._receive = receive
        self.asks_for_part = asks_for_part
        self.connection = connection
        self._upload: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._gone = False
        self.answered = False
        """Whether the answer has begun."""
        self.credential_ended = False

    async def upload(self, message: Message, *, chunked: bool) -> None:
        """Send the body that begins with a message: at once if it is complete, else in a task."""
        if message["type"] == "http.disconnect":
            raise NobodyWaits
        await self._send_part(message, chunked=chunked)
        if message.get("more_body", False):
            self._upload = asyncio.create_task(self._send_rest(chunked=chunked))

    async def head(self) -> Head:
        """The beginning of the answer."""
        connection = self.connection
        while not connection.status:
            if self._upload is not None and self._upload.done():
                self._upload.result()  # the error in the body
            if connection.closed:
                break
            await self.news()
        return await connection.head()

    async def news(self) -> None:
        """Wait until something has come from the target. Raises `NobodyWaits`."""
        if self._gone:
            raise NobodyWaits
        if self._timer is None and self._watch is None and self._upload is None:
            self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER, self._begin_watch)
        await self.connection.news()
        if self._gone:
            raise NobodyWaits

    async def download(self, send: Send, closing: asyncio.Event | None) -> None:
        """Send the content of the answer. An endless stream ends when `closing` is set."""
        connection = self.connection
        ending: asyncio.Task[Any] | None = None
        if closing is not None:
            ending = asyncio.create_task(closing.wait())
            ending.add_done_callback(lambda _: connection.wake())
        try:
            while True:
                ended = connection.ended
                data = connection.taken()
                if closing is not None and closing.is_set():
                    ended = True
                if data or ended:
                    await send({"type": "http.response.body", "body": data, "more_body": not ended})
                    if ended:
                        return
                else:
                    await self.news()
        finally:
            if ending is not None:
                ending.cancel()

    def end(self) -> None:
        """Stop sending and watching."""
        if self._timer is not None:
            self._timer.cancel()
        for task in (self._upload, self._watch):
            if task is not None:
                task.cancel()
        if self._upload is not None and (not self._upload.done() or _failed(self._upload)):
            self.connection.close()  # the rest of the body will never come

    def _begin_watch(self) -> None:
        self._watch = asyncio.create_task(self._watch_client())

    async def _watch_client(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.leave()

    def end_of_credential(self) -> None:
        """Abort the exchange, since the credential of its client has ended."""
        self.credential_ended = True
        self.leave()

    def leave(self) -> None:
        """The client no longer waits for the rest of the answer."""
        self._gone = True
        self.connection.wake()

    async def _send_part(self, message: Message, *, chunked: bool) -> None:
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if chunked:
            body = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
            if not more:
                body += b"0\r\n\r\n"
        if body:
            await self.connection.write(body)

    async def _send_rest(self, *, chunked: bool) -> None:
        try:
            more = True
            while more:
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    self.leave()
                    return
                await self._send_part(message, chunked=chunked)
                more = message.get("more_body", False)
        finally:
            self.connection.wake()


def _is_for_parts(header: tuple[bytes, bytes], *, or_one: bool) -> bool:
    """Whether a header asks for several parts, in whose answer a page cannot be recognised.

    With `or_one`, a single part counts, too: where the whole cannot be requested again.
    """
    return header[0] == b"range" and (or_one or b"," in header[1])


def _failed(task: asyncio.Task[None]) -> bool:
    return not task.cancelled() and task.exception() is not None


async def _framing(
    headers: Headers, method: str, receive: Receive
) -> tuple[Headers, Message | None]:
    """The framing of the body for the target, and its beginning; None if there is none."""
    length = None
    for name, value in headers:
        if name == b"transfer-encoding":
            return _CHUNKED, await receive()
        if name == b"content-length":
            length = value
    if length is not None:
        return [(b"content-length", length)], await receive() if length != b"0" else None
    if method in _WITHOUT_BODY:
        return [], None
    # Another protocol may have bodies whose length is unknown before.
    first = await receive()
    if first.get("more_body", False):
        return _CHUNKED, first
    return [(b"content-length", b"%d" % len(first.get("body", b"")))], first
