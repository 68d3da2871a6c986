"""Open websockets: one request each, and a goodbye when the host shuts down."""

from __future__ import annotations

import contextlib

from starlette.types import Message, Send

GOING_AWAY = 1001


class SocketGone(OSError):
    """This websocket is closed. An OSError, because that is what ASGI servers raise."""


class OpenSockets:
    """The accepted websockets of one host."""

    def __init__(self) -> None:
        self._open: set[Socket] = set()

    def track(self, send: Send) -> Socket:
        """A socket that `close_all` knows from its acceptance to its end."""
        return Socket(send, self._open)

    async def close_all(self) -> None:
        """Tell every client that the host goes away."""
        for socket in list(self._open):
            await socket.go_away()


class Socket:
    """One websocket as a plugin sends to it."""

    def __init__(self, send: Send, registry: set[Socket]) -> None:
        self._send = send
        self._registry = registry
        self._gone = False
        self.accepted = False
        self.closed = False

    async def send(self, message: Message) -> None:
        """Pass a message on. Raises `SocketGone` once the host or the client has closed it."""
        if self._gone:
            raise SocketGone
        if message["type"] == "websocket.accept":
            self.accepted = True
            self._registry.add(self)
        elif message["type"] == "websocket.close":
            self.closed = True
            self._registry.discard(self)
        try:
            await self._send(message)
        except OSError as error:
            raise SocketGone from error

    async def go_away(self) -> None:
        """Close with 1001. The plugin gets a disconnect from `receive` and errors from `send`."""
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
