"""A server that answers with whatever bytes a test gives it, in whatever pieces.

Each connection is served by a thread, with blocking sockets, so that tests that block can have it.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.waiting import PATIENCE

HEAD_END = b"\r\n\r\n"


class Client:
    """The connection of one client, as the server sees it."""

    def __init__(self, server: Hostile, connection: socket.socket) -> None:
        self._server = server
        self._socket = connection
        self._rest = b""
        connection.settimeout(PATIENCE)

    def request(self) -> bytes | None:
        """The next request with its body; None when there is none."""
        head = self.head()
        if head is None:
            return None
        size = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                size = int(value)
        while len(self._rest) < size:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._rest += data
        body, self._rest = self._rest[:size], self._rest[size:]
        return head + body

    def head(self) -> bytes | None:
        """The head of the next request; None when there is none."""
        while HEAD_END not in self._rest:
            data = self._socket.recv(65536)
            if not data:
                return None
            self._rest += data
        head, _, self._rest = self._rest.partition(HEAD_END)
        self._server.requests.append(head.decode("latin-1"))
        return head + HEAD_END

    def send(self, data: bytes, piece: int | None = None) -> None:
        """Send bytes, perhaps a few at a time."""
        if piece is None:
            self._socket.sendall(data)
            return
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for start in range(0, len(data), piece):
            self._socket.sendall(data[start : start + piece])
            time.sleep(0)  # the other side may read now

    def endlessly(self, data: bytes) -> None:
        """Send it again and again until the other side has gone."""
        with contextlib.suppress(OSError):
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                self._socket.sendall(data)
                self._server.sent += len(data)

    def gone(self) -> bool:
        """Wait until the other side has closed; whether it did."""
        try:
            while self._socket.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True


Serve = Callable[[Client], object]


class Hostile:
    """What it was asked, and by how many connections. `url` is its origin."""

    def __init__(self, serve: Serve, listener: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.requests: list[str] = []
        """Heads, in the order in which they came."""
        self.connections = 0
        self.sent = 0
        self._serve = serve
        self._listener = listener
        self._tls = tls
        self._open: set[socket.socket] = set()
        self.threads: list[threading.Thread] = []
        name = listener.getsockname()
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://localhost:{name[1]}" if isinstance(name, tuple) else "http://kv"
        self._accepting = threading.Thread(target=self._accept)
        self._accepting.start()

    def close(self) -> None:
        """End everything."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._accepting.join(PATIENCE)
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(PATIENCE)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._run, args=(connection,))
            self.threads.append(thread)
            thread.start()

    def _run(self, connection: socket.socket) -> None:
        self._open.add(connection)
        with contextlib.suppress(OSError), connection:
            wrapped = connection
            if self._tls is not None:
                connection.settimeout(PATIENCE)
                wrapped = self._tls.wrap_socket(connection, server_side=True)
                self._open.add(wrapped)
            with wrapped:
                self._serve(Client(self, wrapped))
        self._open.discard(connection)


@contextmanager
def hostile(
    serve: Serve, *, path: Path | None = None, tls: ssl.SSLContext | None = None
) -> Iterator[Hostile]:
    """A running one, on a free port, or on a socket file."""
    if path is None:
        listener = socket.create_server(("127.0.0.1", 0))
    else:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()
    server = Hostile(serve, listener, tls)
    try:
        yield server
    finally:
        server.close()


def answer(content: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """A plain answer."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", *headers]
    head = "\r\n".join([*lines, f"content-length: {len(content)}", "", ""])
    return head.encode("latin-1") + content


def always(data: bytes, piece: int | None = None) -> Serve:
    """Answers every request of a connection with the same bytes, and keeps it."""

    def serve(client: Client) -> None:
        while client.request() is not None:
            client.send(data, piece)

    return serve


def once(data: bytes, piece: int | None = None) -> Serve:
    """Answers one request of each connection and closes it."""

    def serve(client: Client) -> None:
        if client.request() is not None:
            client.send(data, piece)

    return serve
