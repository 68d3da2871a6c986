"""Servers with the database plugin, and small clients of its HTTP API and its websockets."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
from websockets.sync.client import ClientConnection, connect

from support.live import LiveServer, live_server
from support.waiting import PATIENCE

NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares every client the time to load certificates that it does not need."""


@contextmanager
def database_server(folder: Path, *, workers: int = 1, **options: Any) -> Iterator[LiveServer]:
    """A server with one sqlite adapter and the given options of the plugin."""
    adapter = {"type": "sqlite", "baseDir": "data"}
    plugin = ["@buntime/plugin-database", {"adapters": [adapter], **options}]
    with live_server(folder, {"plugins": [plugin]}, workers=workers) as server:
        yield server


class Api:
    """Calls of the HTTP API of one server."""

    def __init__(self, server: LiveServer, **headers: str) -> None:
        self.server = server
        self.base = f"{server.url}/database/api"
        self.client = httpx2.Client(headers=headers, timeout=PATIENCE, verify=NO_TLS)

    def __enter__(self) -> Api:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.client.close()

    def call(
        self, method: str, path: str, body: Any = None, status: int = 200, **headers: str
    ) -> Any:
        """The JSON answer, whose status and, if it is an error, shape are checked."""
        content = None if body is None else json.dumps(body)
        answer = self.client.request(
            method, f"{self.base}/{path}".rstrip("/"), content=content, headers=headers
        )
        assert answer.status_code == status, answer.text
        found = answer.json()
        if status >= 400:
            assert answer.headers["content-type"] == "application/json"
            assert found["error"] == found["message"]
            assert found["code"]
        return found

    def get(self, path: str, status: int = 200, **headers: str) -> Any:
        return self.call("GET", path, None, status, **headers)

    def post(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        return self.call("POST", path, body, status, **headers)

    def sql(self, sql: str, *args: Any, **fields: Any) -> Any:
        """Run one statement."""
        return self.post("execute", {"sql": sql, "args": list(args), **fields})

    def rows(self, sql: str, *args: Any, **fields: Any) -> list[list[Any]]:
        """Values of the rows of one query."""
        found = self.post("query", {"sql": sql, "args": list(args), **fields})
        return [list(row.values()) for row in found["rows"]]


class Socket:
    """A websocket that talks JSON."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    def send(self, message: Any) -> None:
        self.connection.send(message if isinstance(message, str) else json.dumps(message))

    def receive(self) -> Any:
        return json.loads(self.connection.recv(timeout=PATIENCE))

    def ask(self, message: Any) -> Any:
        self.send(message)
        return self.receive()


@contextmanager
def websocket(
    server: LiveServer, path: str = "/database/api", *protocols: str, **headers: str
) -> Iterator[Socket]:
    """An open websocket."""
    url = server.url.replace("http", "ws", 1) + path
    with connect(
        url,
        subprotocols=list(protocols) or None,  # type: ignore[arg-type]
        additional_headers=headers,
        proxy=None,
    ) as connection:
        yield Socket(connection)


def wait_until(
    condition: Callable[[], bool], seconds: float = PATIENCE, *, pause: float = 0.02
) -> None:
    """Poll until the condition holds, with pauses of so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(pause)
