"""A client that has sent all it wants to, and says so, before it is answered."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
from support.live import LiveServer
from support.waiting import PATIENCE

ATOMIC = b'{"mutations":[{"type":"sum","key":["half","n"],"value":1}]}'


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/keys/half/a", b"1"),
        ("POST", "/atomic", ATOMIC),
        ("DELETE", "/keys/half/a", b""),
        ("POST", "/queue/enqueue", b'{"value":1}'),
        ("GET", "/keys/half/n", b""),
    ],
)
def test_it_is_answered(shared_server: LiveServer, method: str, path: str, body: bytes) -> None:
    server = urlsplit(shared_server.api)
    assert server.hostname is not None
    assert server.port is not None
    lines = [
        f"{method} {server.path}{path} HTTP/1.1",
        f"host: {server.netloc}",
        f"content-length: {len(body)}",
    ]
    with socket.create_connection((server.hostname, server.port), timeout=PATIENCE) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        line.shutdown(socket.SHUT_WR)
        answer = b""
        while part := line.recv(65_536):
            answer += part
    assert answer.startswith((b"HTTP/1.1 200 ", b"HTTP/1.1 404 "))
