"""Open websockets: one request each, and a goodbye when the host shuts down."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.types import Message, Scope, Send

from buntime_host.errors import Forbidden
from buntime_host.http.problem import problem_of, refuse_websocket

GOING_AWAY = 1001

GOODBYE_SECONDS = 1.0
"""How long clients have to take the goodbye; one that reads nothing would keep the host waiting."""


class SocketGone(OSError):
    """This websocket is closed. An OSError, because that is what ASGI servers raise."""


class OpenSockets:
    """The accepted websockets of one host."""

    def __init__(self) -> None:
        self.closing = False
        """Whether the host shuts down: sockets accepted from now on get the goodbye at once."""
        self._open: set[ServedSocket] = set()

    def track(self, scope: Scope, send: Send) -> ServedSocket:
        """A socket that `close_all` knows from its acceptance to its end."""
        return ServedSocket(scope, send, self)

    def add(self, socket: ServedSocket) -> None:
        """A socket is accepted."""
        self._open.add(socket)

    def discard(self, socket: ServedSocket) -> None:
        """A socket is closed."""
        self._open.discard(socket)

    async def close_all(self) -> None:
        """Tell every client that the host shuts down, now and those that come later."""
        self.closing = True
        goodbyes = [asyncio.create_task(socket.go_away()) for socket in self._open]
        if goodbyes:
            _, late = await asyncio.wait(goodbyes, timeout=GOODBYE_SECONDS)
            for goodbye in late:
                goodbye.cancel()


class ServedSocket:
    """One websocket as a plugin sends to it.

    A plugin that closes it instead of accepting it refuses it; the client gets the refusal in the
    form of all errors.
    """

    def __init__(self, scope: Scope, send: Send, registry: OpenSockets) -> None:
        self._scope = scope
        self._send = send
        self._registry = registry
        self._gone = False
        self.accepted = False
        self.closed = False
        """Closed, or refused."""

    async def send(self, message: Message) -> None:
        """Pass a message on. Raises `SocketGone` once the host or the client has closed it."""
        if self._gone:
            raise SocketGone
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
            self._registry.add(self)
        elif kind != "websocket.send":  # a close, or a part of a response that refuses it
            self.closed = True
            self._registry.discard(self)
        try:
            if kind == "websocket.close" and not self.accepted:
                await refuse_websocket(self._scope, self._send, problem_of(Forbidden()))
            else:
                await self._send(message)
        except OSError as error:
            raise SocketGone from error
        if self._registry.closing and not self.closed:
            await self.go_away()

    async def go_away(self) -> None:
        """Close with 1001. The plugin gets a disconnect from `receive` and errors from `send`.

        Nothing is sent to a closed socket: the plugin may have closed it meanwhile.
        """
        if self.closed:
            return
        self._gone = self.closed = True
        self._registry.discard(self)
        # The client may have left at this very moment, which is all that was wanted.
        with contextlib.suppress(OSError, RuntimeError):
            await self._send(
                {"type": "websocket.close", "code": GOING_AWAY, "reason": "shutting down"}
            )

    def finished(self) -> None:
        """The plugin is done with the socket."""
        self._registry.discard(self)
