"""What a service manager is told: systemd's protocol of notifications, a datagram each."""

from __future__ import annotations

import logging
import os
import socket

READY = "READY=1"
STOPPING = "STOPPING=1"

VARIABLE = "NOTIFY_SOCKET"
"""Where somebody listens, if anybody does; `@` begins a name that is no file."""

logger = logging.getLogger("App")


def notify(state: str) -> None:
    """Tell the manager of this process, if it has one that wants to know."""
    address = os.environ.get(VARIABLE)
    if not address:
        return
    if address.startswith("@"):
        address = f"\0{address[1:]}"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
            sock.connect(address)
            sock.sendall(state.encode())
    except OSError as error:
        logger.warning("The service manager cannot be told %s: %s", state, error.strerror)
