"""A target that answers with bytes of a test, however wrong, and keeps what it got."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = bytes | Callable[[socket.socket, bytes], None]


class RawTarget:
    """Answers each request on each connection with the next of its answers."""

    def __init__(self, listener: socket.socket) -> None:
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.answers: list[Answer] = []
        """The first of them is given next; with the last one the connection goes on or ends."""
        self.received: list[bytes] = []
        self.connections = 0
        self.ends_connections = True
        self._listener = listener
        self._open: list[socket.socket] = []

    def accept(self) -> None:
        """Serve until the listener is closed."""
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def close(self) -> None:
        """End everything."""
        self._listener.close()
        for connection in self._open:
            connection.close()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError):
            while True:
                request = _request(connection)
                if not request:
                    break
                self.received.append(request)
                # Decided before it answers: with the answer the next test may begin.
                ends = self.ends_connections
                answer = self.answers.pop(0) if self.answers else b""
                if callable(answer):
                    answer(connection, request)
                else:
                    connection.sendall(answer)
                if ends:
                    break
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()


def _request(connection: socket.socket) -> bytes:
    """The head of a request, and of its body what a content-length says."""
    received = b""
    while b"\r\n\r\n" not in received:
        data = connection.recv(65536)
        if not data:
            return received
        received += data
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
    while lengths and len(body) < lengths[0]:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@contextmanager
def raw_target() -> Iterator[RawTarget]:
    """A running one."""
    target = RawTarget(socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=target.accept, daemon=True)
    thread.start()
    try:
        yield target
    finally:
        target.close()
