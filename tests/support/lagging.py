"""A link that delays what comes from upstream, for a replica that is always behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial

CHUNK = 65536


class Lagging:
    """Forwards connections to a port of the loopback; all of them are cut at the end."""

    def __init__(self, port: int, seconds: float) -> None:
        self._upstream = port
        self._seconds = seconds
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])

    def serve(self) -> None:
        """Accept until it is closed."""
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._upstream))
            except ConnectionRefusedError:
                near.close()
                continue
            except OSError:
                return  # closed
            self._sockets += [near, far]
            _begin(partial(_copy, near, far, 0.0))
            _begin(partial(_copy, far, near, self._seconds))

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._sockets):
            each.close()


@contextmanager
def lagging_link(port: int, seconds: float) -> Iterator[int]:
    """The port of a link to another port; each answer takes so much longer."""
    link = Lagging(port, seconds)
    _begin(link.serve)
    try:
        yield link.port
    finally:
        link.close()


def _begin(work: Callable[[], None]) -> None:
    threading.Thread(target=work, daemon=True).start()


def _copy(source: socket.socket, sink: socket.socket, seconds: float) -> None:
    with suppress(OSError):
        while data := source.recv(CHUNK):
            time.sleep(seconds)
            sink.sendall(data)
    for each in (source, sink):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
