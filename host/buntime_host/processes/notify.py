"""Notifications to a service manager: systemd's protocol, a datagram each."""

from __future__ import annotations

import logging
import os
import socket

READY = "READY=1"
STOPPING = "STOPPING=1"

VARIABLE = "NOTIFY_SOCKET"
"""The socket of the manager, if there is one; `@` begins a name that is not a file."""

logger = logging.getLogger("App")


def notify(state: str) -> None:
    """Notify the manager of this process, if it has one that listens."""
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
