"""Ending the wait for more of a response of httpx2, on another thread."""

from __future__ import annotations

import socket
from contextlib import suppress

import httpx2


def interrupt(response: httpx2.Response) -> None:
    """Let who waits for the next chunk go on."""
    network = response.extensions.get("network_stream")
    connection = network.get_extra_info("socket") if network is not None else None
    if isinstance(connection, socket.socket):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
