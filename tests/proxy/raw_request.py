"""Requests that are sent as they are, each on a connection of its own."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from support.waiting import PATIENCE


def sent(url: str, request: bytes) -> tuple[int, bytes]:
    """Status and all of the answer to bytes, up to the end of the connection."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE) as connection:
        connection.sendall(request)
        received = b""
        while data := connection.recv(65536):
            received += data
    return int(received.split(b" ", 2)[1]), received


def asked(url: str, method: str, path: str) -> tuple[int, bytes]:
    """The same for a request without a body, whose path nobody changes before."""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    return sent(url, head.encode())
