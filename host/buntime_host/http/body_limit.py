"""Bodies that can be refused only while the plugin reads them."""

from __future__ import annotations

from starlette.types import Message, Receive, Send

from buntime_host.errors import HttpError, PayloadTooLarge
from buntime_host.http.problem import problem_of, send_problem


class BodyLimit:
    """Wraps `receive` and `send` of one request, to count its body.

    Only bodies without a content-length, or compressed ones, need it.
    """

    def __init__(self, limit: int, receive: Receive, send: Send) -> None:
        self._left = limit
        self._receive = receive
        self._send = send
        self._refusal: HttpError | None = None
        self._started = False
        self._answered = False

    async def receive(self) -> Message:
        """Pass a message on. Raises `PayloadTooLarge` once the body is larger than the limit."""
        try:
            message = await self._receive()
            if message["type"] == "http.request":
                self._left -= len(message.get("body", b""))
                if self._left < 0:
                    raise PayloadTooLarge
        except HttpError as error:
            self._refusal = error
            raise
        return message

    async def send(self, message: Message) -> None:
        """Pass a message on; once the body was refused, the refusal is the answer, whatever the
        plugin does with the exception.
        """
        if self._refusal is None or self._started:
            self._started = True
            await self._send(message)
        elif not self._answered:
            self._answered = True
            await send_problem(self._send, problem_of(self._refusal))
