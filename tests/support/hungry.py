"""Clients that ask for much and never read, and what that takes of a server's memory."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import urlsplit

from support.live import LiveServer

MIB = 1024 * 1024
MOST = 300 * MIB
CALM_SECONDS = 2.0


def memory(server: LiveServer, name: str) -> int:
    """What the kernel says of a process, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def assert_frugal(
    server: LiveServer, requests: Iterable[bytes], other: Callable[[], object]
) -> None:
    """Send each request on a connection, read nothing, and see what that took.

    That is known once nothing moves. Meanwhile the other client is served.
    """
    url = urlsplit(server.url)
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")  # the peak begins anew
    before = memory(server, "VmRSS")
    sockets = []
    for request in requests:
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect((url.hostname, url.port))
        connection.sendall(request)
        sockets.append(connection)
    calm_since = time.monotonic()
    peak = 0
    while time.monotonic() - calm_since < CALM_SECONDS:
        other()
        if memory(server, "VmHWM") > peak:
            peak = memory(server, "VmHWM")
            calm_since = time.monotonic()
        time.sleep(0.05)
    for connection in sockets:
        connection.close()
    assert peak - before < MOST, f"{(peak - before) // MIB} MiB"
