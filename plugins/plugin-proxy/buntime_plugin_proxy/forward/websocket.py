"""Forwarding one websocket. The target is connected before the client is accepted."""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack

from buntime_host.access.principal import Life
from starlette.types import Message, Receive, Scope, Send
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from buntime_plugin_proxy.config import ProxyConfig
from buntime_plugin_proxy.forward.counts import ForwardCounts
from buntime_plugin_proxy.forward.headers import Sender, request_headers
from buntime_plugin_proxy.forward.passage import Passage
from buntime_plugin_proxy.upstream.errors import BadGateway, GatewayTimeout, TargetBusy
from buntime_plugin_proxy.upstream.pool import UpstreamPool, tls_context

MOST_WAITING = 16
"""The most messages of a target that wait for a slow client before reading stops."""
NO_CODE, ABNORMAL, TLS_FAILED = 1005, 1006, 1015
"""Codes that tell how a connection ended, and that nobody may send."""
NORMAL, POLICY, TOO_BIG, INTERNAL_ERROR = 1000, 1008, 1009, 1011
LONGEST_REASON = 123
"""In bytes."""


class _Dial(connect):
    """Opens a websocket to one address, without following redirects."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """See `connect`: the exception instead of following a redirect."""
        return exc


class WebSocketForwarder:
    """Connects websockets with targets."""

    def __init__(
        self,
        pool: UpstreamPool,
        sender: Sender,
        config: ProxyConfig,
        counts: ForwardCounts,
        logger: logging.Logger,
    ) -> None:
        self._pool = pool
        self._counts = counts
        self._sender = sender
        self._config = config
        # The library's remarks about single connections do not belong in the log of a server.
        self._logger = logger.getChild("websocket")
        self._logger.setLevel(logging.ERROR)
        self._open = 0

    async def __call__(self, passage: Passage, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one websocket. Raises `HttpError` unless the handshake was accepted."""
        await receive()  # the `websocket.connect` message
        with ExitStack() as held:
            if self._open >= self._config.max_websockets:
                raise TargetBusy("Proxy error: too many websockets are open")
            self._open += 1
            held.callback(self._close_one)
            held.enter_context(self._pool.counted(passage.match.ready.origin))
            target = await self._dial(passage, scope)
            self._counts.opened_websocket()
            held.callback(self._counts.closed_websocket)
            try:
                await send({"type": "websocket.accept", "subprotocol": target.subprotocol})
                await _relay(target, receive, send, passage.life)
            finally:
                # A client that has gone gets nothing more; the library handles the rest.
                await target.close()

    def _close_one(self) -> None:
        self._open -= 1

    async def _dial(self, passage: Passage, scope: Scope) -> ClientConnection:
        match = passage.match
        origin = match.ready.origin
        headers = request_headers(scope, passage, self._sender)
        host = next(value for name, value in headers if name == b"host").decode("latin-1")
        query: bytes = scope.get("query_string", b"")
        path = (match.path + b"?" + query if query else match.path).decode("ascii")
        made = await self._pool.socket(origin)
        try:
            return await _Dial(
                f"{'wss' if origin.tls else 'ws'}://{host}{path}",
                sock=made,
                ssl=tls_context(verify=origin.verify) if origin.tls else None,
                server_hostname=origin.host if origin.tls else None,
                additional_headers=[
                    (name.decode("latin-1"), value.decode("latin-1"))
                    for name, value in headers
                    if name != b"host"
                ],
                subprotocols=[Subprotocol(name) for name in scope.get("subprotocols", ())] or None,
                user_agent_header=None,
                compression=None,
                proxy=None,
                open_timeout=self._config.connect_timeout,
                max_size=self._config.max_message_size,
                max_queue=MOST_WAITING,
                close_timeout=1,
                logger=self._logger,
            )
        except InvalidStatus as error:
            status = error.response.status_code
            raise BadGateway(f"the target refused the websocket with status {status}") from error
        except WebSocketException as error:
            raise BadGateway("the target does not answer as a websocket does") from error
        except TimeoutError as error:
            raise GatewayTimeout("the target took too long to take a websocket") from error
        except (OSError, EOFError) as error:
            raise BadGateway("the target cannot be reached") from error


async def _relay(target: ClientConnection, receive: Receive, send: Send, life: Life) -> None:
    """Pass messages on in both directions until one side closes; then close the other.

    Both are also closed when the client's credential ends.
    """
    down = asyncio.create_task(_to_client(target, send))
    up = asyncio.create_task(_to_target(target, receive))
    over = asyncio.Event()

    def end() -> None:
        over.set()
        down.cancel()

    take_back = life.when_over(end)
    try:
        await asyncio.wait((down, up), return_when=asyncio.FIRST_COMPLETED)
    finally:
        take_back()
        for task in (down, up):
            task.cancel()
        results = await asyncio.gather(down, up, return_exceptions=True)
    if over.is_set():
        await send(
            {"type": "websocket.close", "code": POLICY, "reason": "the credential has ended"}
        )
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, (ConnectionClosed, OSError)):
            raise result


async def _to_client(target: ClientConnection, send: Send) -> None:
    try:
        while True:
            data = await target.recv()
            member = "text" if isinstance(data, str) else "bytes"
            await send({"type": "websocket.send", member: data})
    except ConnectionClosed as closed:
        code, reason = _how_it_ended(closed)
        await send({"type": "websocket.close", "code": sendable(code), "reason": reason})


def _how_it_ended(closed: ConnectionClosed) -> tuple[int, str]:
    """What the client is told of the end at the target."""
    if closed.sent is not None and closed.sent.code == TOO_BIG and not closed.rcvd_then_sent:
        return TOO_BIG, "a message of the target is larger than maxMessageSize"
    if closed.rcvd is None:
        return ABNORMAL, "the target is gone"
    return closed.rcvd.code, closed.rcvd.reason


async def _to_target(target: ClientConnection, receive: Receive) -> None:
    while True:
        message: Message = await receive()
        if message["type"] == "websocket.disconnect":
            code = sendable(message.get("code") or NO_CODE)
            reason = (message.get("reason") or "").encode()[:LONGEST_REASON].decode(errors="ignore")
            await target.close(code, reason)
            return
        text = message.get("text")
        await target.send(text if text is not None else message["bytes"])


def sendable(code: int) -> int:
    """The code to send for one that says how the other side ended, which may not be sendable."""
    if code == NO_CODE:
        return NORMAL
    if code in (ABNORMAL, TLS_FAILED) or not 1000 <= code < 5000:
        return INTERNAL_ERROR
    return code
