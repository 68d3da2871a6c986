"""One connection of the client: a request, its whole answer, the next request."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

from buntime_keyval._async.sockets import Socket
from buntime_keyval._core import Reply
from buntime_keyval._http11 import AnswerReader
from buntime_keyval._transport import NotSent, within


class AsyncConnection:
    """An HTTP connection: it owns a socket and carries one request at a time."""

    def __init__(self, socket: Socket, base_url: str) -> None:
        self._socket = socket
        self._base_url = base_url
        self.reusable = False
        """Whether the last answer left it as it was before."""
        self.used = 0.0
        """When, by the monotonic clock."""

    async def ask(
        self, method: str, request: bytes, pause: float | None, ends: float | None = None
    ) -> Reply:
        """Send a request and return its answer, whose parts come without longer pauses than `pause`
        seconds.

        It is complete by `ends` of the monotonic clock. Raises `NotSent` or `Failure`; then the
        connection is unusable.
        """
        self.reusable = False
        answer = AnswerReader(method)
        await self._finish(answer, await self._begin(answer, request, pause, ends), pause, ends)
        return self._reply(answer, answer.content())

    async def open(self, method: str, request: bytes, silence: float | None) -> AsyncOpenedHere:
        """The answer to a request for an event stream."""
        answer = AnswerReader(method, None)
        sent = await self._begin(answer, request, silence)
        while not answer.status:
            answer.feed(await self._socket.receive(silence))
        content = b""
        if answer.status != 200:
            await self._finish(answer, sent, silence)
            content = answer.content()
        return AsyncOpenedHere(self._socket, answer, self._reply(answer, content), silence)

    def interrupt(self) -> None:
        """Wake the waiter for an answer, without one."""
        self._socket.interrupt()

    def close(self) -> None:
        """End it. Idempotent."""
        self._socket.close()

    async def _begin(
        self, answer: AnswerReader, request: bytes, pause: float | None, ends: float | None = None
    ) -> bool:
        """Send a request; whether all of it was."""
        if not await self._socket.begin():
            raise NotSent("the server closed the connection")
        return await self._socket.send(request, pause, answer.feed, ends)

    async def _finish(
        self, answer: AnswerReader, sent: bool, pause: float | None, ends: float | None = None
    ) -> None:
        while not answer.complete:
            answer.feed(await self._socket.receive(within(pause, ends)))
        if sent and answer.reusable:
            self._socket.done()
            self.used = time.monotonic()
            self.reusable = True

    def _reply(self, answer: AnswerReader, content: bytes) -> Reply:
        return Reply(answer.status, answer.headers, content, self._base_url)


class AsyncOpenedHere:
    """See `AsyncOpened`."""

    def __init__(
        self, socket: Socket, answer: AnswerReader, reply: Reply, silence: float | None
    ) -> None:
        self._socket = socket
        self._answer = answer
        self._silence = silence
        self.reply = reply

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        while True:
            content = self._answer.content()
            if content:
                yield content
            if self._answer.complete:
                return
            self._answer.feed(await self._socket.receive(self._silence))

    def interrupt(self) -> None:
        self._socket.interrupt()
