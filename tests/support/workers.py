"""Reaching a certain worker of a server: whose connection it is stays the same."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2

from support.api import Api
from support.live import LiveServer
from support.waiting import PATIENCE

_WORKER = "x-buntime-worker"


def connect_to(server: LiveServer, worker: int) -> socket.socket:
    """A connection to one worker, on which nothing is under way."""
    url = urlsplit(server.url)
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        connection = socket.create_connection((url.hostname, url.port), timeout=PATIENCE)
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = b""
        while not received.endswith(b"}"):
            received += connection.recv(4096)
        if f"{_WORKER}: {worker}\r\n".encode() in received:
            return connection
        connection.close()
    raise AssertionError(f"worker {worker} took no connection")


@contextmanager
def client_of(server: LiveServer, worker: int) -> Iterator[httpx2.Client]:
    """A client whose only connection goes to one worker."""
    limits = httpx2.Limits(max_connections=1, keepalive_expiry=None)
    deadline = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline, f"worker {worker} took no connection"
        with httpx2.Client(trust_env=False, timeout=PATIENCE, limits=limits) as client:
            if client.get(f"{server.url}/health").headers[_WORKER] == str(worker):
                yield client
                return


@contextmanager
def api_of_worker(server: LiveServer, worker: int) -> Iterator[Api]:
    """The KeyVal API as one worker serves it."""
    with client_of(server, worker) as client:
        yield Api(server.api, client)


@contextmanager
def api_of_any(server: LiveServer) -> Iterator[Api]:
    """The KeyVal API, of whichever worker gets the request: each has a connection of its own."""
    headers = {"connection": "close"}
    with httpx2.Client(trust_env=False, timeout=PATIENCE, headers=headers) as client:
        yield Api(server.api, client)
