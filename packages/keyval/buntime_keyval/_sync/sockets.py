"""Bytes to a server and back, with sockets that block; `_async` has the same on an event loop."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress

from buntime_keyval._readiness import Readiness
from buntime_keyval._transport import Address, Failure, NotSent, reason_of, within

_PIECE = 64 * 1024
"""Bytes of a request that are handed over at a time, and that are read at a time."""
_PIECE_OF_TLS = 16 * 1024
"""The same where each piece is encrypted: one record, which is sent wholly or not at all."""


class Socket:
    """One connection. Its methods are for one thread at a time, but for `interrupt`."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._encrypted = isinstance(connection, ssl.SSLSocket)
        self._timeout: float | None = None
        connection.settimeout(None)
        self._readiness = Readiness(connection.fileno())

    def begin(self) -> bool:
        """Whether it can carry a request: it is open, and nothing came that nobody asked for."""
        if not self._readiness.to_read():
            return True
        if not self._encrypted:
            return False
        # A key of TLS for later connections is nobody's answer.
        with suppress(OSError, ValueError):
            return self._at_once() is None
        return False

    def done(self) -> None:
        """The answer is complete."""

    def send(
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
        size = _PIECE_OF_TLS if self._encrypted else _PIECE
        self._bound(within(timeout, ends))
        try:
            sent = self._socket.send(data if len(data) <= size else memoryview(data)[:size])
        except OSError as error:
            kind = Failure if self._encrypted else NotSent
            raise kind(reason_of(error)) from error
        if sent == len(data):
            return True
        view = memoryview(data)
        while sent < len(data):
            ready = self._readiness.wait(within(timeout, ends))
            if not any(ready):
                raise Failure("nothing was taken in time")
            try:
                if ready.to_read:
                    came = self._at_once()
                    if came is not None and heard(came):
                        return False
                if ready.to_write:
                    sent += self._socket.send(view[sent : sent + size])
            except OSError:
                return False  # perhaps there is an answer nevertheless, which says why
        return True

    def receive(self, timeout: float | None) -> bytes:
        """What comes next, nothing at the end. Raises `Failure`, also after `timeout` seconds."""
        self._bound(timeout)
        try:
            return self._socket.recv(_PIECE)
        except TimeoutError as error:
            raise Failure("nothing came in time") from error
        except (OSError, ValueError) as error:
            raise Failure(reason_of(error)) from error

    def interrupt(self) -> None:
        """Let the thread that waits go on."""
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """End it. Idempotent."""
        self._socket.close()

    def _bound(self, timeout: float | None) -> None:
        if timeout != self._timeout:
            self._socket.settimeout(timeout)
            self._timeout = timeout

    def _at_once(self) -> bytes | None:
        """What is there, nothing at the end, None if nothing is there. Raises `OSError`."""
        self._socket.settimeout(0)
        try:
            return self._socket.recv(_PIECE)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        finally:
            self._socket.settimeout(self._timeout)


def open_socket(address: Address, timeout: float | None) -> Socket:
    """A connection, after at most `timeout` seconds for each address. Raises `NotSent`."""
    try:
        return Socket(_connected(address, timeout))
    except TimeoutError as error:
        raise NotSent("it took too long") from error
    except (OSError, ValueError) as error:
        raise NotSent(reason_of(error)) from error


def _connected(address: Address, timeout: float | None) -> socket.socket:
    deadline = None if timeout is None else time.monotonic() + timeout
    if address.path is None:
        connection = socket.create_connection((address.host, address.port), timeout)
    else:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if address.path is None:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            connection.settimeout(timeout)
            connection.connect(address.path)
        if address.tls is not None:
            connection = address.tls.wrap_socket(
                connection, server_hostname=address.host, do_handshake_on_connect=False
            )
            if deadline is not None:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
            connection.do_handshake()
    except BaseException:
        connection.close()
        raise
    return connection
