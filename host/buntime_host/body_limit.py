"""Count a body that comes without a length while the plugin reads it."""

from __future__ import annotations

from starlette.types import Message, Receive, Send

from buntime_host.errors import PayloadTooLarge
from buntime_host.problem import problem_of, send_problem


class BodyLimit:
    """Wraps `receive` and `send` of one request; only requests without content-length need it."""

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        self._left = limit
        self._receive = receive
        self._send = send
        self._exceeded = False
        self._started = False
        self._answered = False

    async def receive(self) -> Message:
        """Pass a message on. Raises `PayloadTooLarge` once the body is larger than the limit."""
        message = await self._receive()
        if message["type"] == "http.request":
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self._exceeded = True
                raise PayloadTooLarge
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; after the limit was exceeded the answer is 413, whatever the plugin
        makes of the exception."""
        if not self._exceeded or self._started:
            self._started = True
            await self._send(message)
        elif not self._answered:
            self._answered = True
            await send_problem(self._send, problem_of(PayloadTooLarge()))
