"""Bytes to a server and back, on an event loop; `_sync` has the same with sockets that block."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from buntime_keyval._readiness import Readiness
from buntime_keyval._transport import Address, Failure, NotSent, reason_of, within

_PIECE = 64 * 1024
"""Most bytes of a request that are written at a time."""
_MOST_UNREAD = 256 * 1024
"""Bytes that wait for a reader; then the server has to."""
_MOST_TURNS = 10
"""Turns of the loop for what came before a request."""
_CLOCK_S = 0.002
"""How much too early a timer may be."""


class Socket(asyncio.Protocol):
    """One connection. Its methods are for one task at a time, but for `interrupt`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._transport: asyncio.Transport
        self._readiness: Readiness
        self._encrypted = False
        self._received: list[bytes] = []
        self._unread = 0
        self._holds_back = False
        self._asked = False
        self._full = False
        self._ended = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._deadline = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def begin(self) -> bool:
        """Whether it can carry a request: it is open, and no unrequested bytes have arrived."""
        for _ in range(_MOST_TURNS):
            if self._ended or self._received or self._transport.is_closing():
                return False
            if not self._readiness.to_read():
                self._asked = True
                return True
            # Something came that the loop has had no time for. A key of TLS for later connections
            # is nobody's answer, so there it gets some.
            if not self._encrypted:
                return False
            await asyncio.sleep(0)
        return False

    def done(self) -> None:
        """The answer is complete; what comes from now on is not asked for, and ends it."""
        self._asked = False

    async def send(
        self,
        data: bytes,
        timeout: float | None,
        heard: Callable[[bytes], bool],
        ends: float | None = None,
    ) -> bool:
        """Whether all was sent by `ends`, with no longer pause than `timeout` seconds.

        What arrives before it is goes to `heard`, as in `receive`, and when that returns True the
        rest is not sent. Raises `NotSent`, `Failure`, and what `heard` does.
        """
        if self._ended or self._transport.is_closing():
            raise NotSent("the server closed the connection")
        if len(data) <= _PIECE:
            self._transport.write(data)
            return True
        view = memoryview(data)
        for start in range(0, len(data), _PIECE):
            while self._full or self._received or self._ended:
                if self._received or self._ended:
                    if heard(self._taken()):
                        return False
                else:
                    await self._wait(within(timeout, ends))
            self._transport.write(view[start : start + _PIECE])
        return True

    async def receive(self, timeout: float | None) -> bytes:
        """Return the next bytes, nothing at the end. Raises `Failure`, also after `timeout`
        seconds.
        """
        if not self._received and not self._ended:
            await self._wait(timeout)
        return self._taken()

    def interrupt(self) -> None:
        """Wake the waiter."""
        self.close()

    def close(self) -> None:
        """Close it now; unsent bytes are dropped. Idempotent."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._encrypted = transport.get_extra_info("ssl_object") is not None
        self._readiness = Readiness(transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        if not self._asked:
            self._ended = True
            self.close()
            return
        self._received.append(data)
        self._unread += len(data)
        if self._unread > _MOST_UNREAD and not self._holds_back:
            self._holds_back = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._ended = True
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._error = exc
        self._wake()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake()

    def _taken(self) -> bytes:
        if not self._received:
            if self._error is not None:
                raise Failure(reason_of(self._error)) from self._error
            return b""
        received = self._received
        data = received[0] if len(received) == 1 else b"".join(received)
        self._received = []
        self._unread = 0
        if self._holds_back:
            self._holds_back = False
            if not self._transport.is_closing():
                self._transport.resume_reading()
        return data

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, timeout: float | None) -> None:
        """Wait until something changes. Raises `Failure` after `timeout` seconds.

        The timer stays from one wait to the next, since making one takes longer than checking
        whether it is due when it fires.
        """
        self._waiter = self._loop.create_future()
        if timeout is None:
            self._deadline = float("inf")
        else:
            self._deadline = self._loop.time() + timeout
            if self._timer is not None and self._timer.when() > self._deadline:
                self._timer.cancel()
                self._timer = None
            if self._timer is None:
                self._timer = self._loop.call_at(self._deadline, self._ring)
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ring(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        if self._loop.time() >= self._deadline - _CLOCK_S:
            self._waiter.set_exception(Failure("nothing came in time"))
        elif self._deadline != float("inf"):
            self._timer = self._loop.call_at(self._deadline, self._ring)


async def open_socket(address: Address, timeout: float | None) -> Socket:
    """A connection, after at most `timeout` seconds. Raises `NotSent`."""
    loop = asyncio.get_running_loop()
    tls = address.tls
    name = None if tls is None else address.host
    racing: Any = {}
    if address.is_remote_name and isinstance(loop, asyncio.BaseEventLoop):
        # Addresses at once that may not answer; uvloop tries one after the other.
        racing["happy_eyeballs_delay"] = 0.25
    try:
        async with asyncio.timeout(timeout):
            if address.path is not None:
                _, made = await loop.create_unix_connection(
                    lambda: Socket(loop), address.path, ssl=tls, server_hostname=name
                )
            else:
                _, made = await loop.create_connection(
                    lambda: Socket(loop),
                    address.host,
                    address.port,
                    ssl=tls,
                    server_hostname=name,
                    **racing,
                )
    except TimeoutError as error:
        raise NotSent("it took too long") from error
    except (OSError, UnicodeError) as error:
        raise NotSent(reason_of(error)) from error
    return made
