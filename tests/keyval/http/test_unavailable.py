"""While another process holds the database, writes answer 503 and leave nothing behind."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.api import Api, api_of
from support.beside import opened_beside
from support.children import program
from support.live import LiveServer, live_server
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

CONFIG = {
    "plugins": [
        [
            "@buntime/plugin-database",
            {"adapters": [{"type": "sqlite", "baseDir": "data", "busyTimeout": 50}]},
        ],
        "@buntime/plugin-keyval",
    ]
}
HOLD = """
import sys, apsw
database = apsw.Connection(sys.argv[1])
database.set_busy_timeout(10_000)
database.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def impatient(tmp_path: Path) -> Iterator[LiveServer]:
    """A server that waits no longer than 50 ms for the database."""
    with live_server(tmp_path, CONFIG) as running:
        yield running


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Another process has the write lock."""
    command = [sys.executable, "-c", HOLD, os.fspath(path)]
    with program(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.communicate()
    assert process.returncode == 0


def rows(path: Path) -> list[Any]:
    """All that the tables hold."""
    with opened_beside(path) as database:
        entries = database.execute("SELECT key_json, value FROM kv_entries ORDER BY key").fetchall()
        return [*entries, *database.execute("SELECT seq, operation FROM kv_changes").fetchall()]


def test_a_locked_database_is_503_and_loses_nothing(impatient: LiveServer) -> None:
    path = impatient.folder / "data" / "_default.db"
    sets = [{"type": "set", "key": ["m", number], "value": number} for number in range(300)]
    writes: list[tuple[str, str, Any]] = [
        ("PUT", "/keys/a", 2),
        ("PUT", "/keys/b", 2),
        ("DELETE", "/keys/a", {}),
        ("DELETE", "/keys?prefix=a", {}),
        ("POST", "/keys/delete-batch", {"keys": [["a"], ["b"]]}),
        ("POST", "/atomic", {"mutations": [{"type": "sum", "key": ["a"], "value": 1}]}),
        ("POST", "/atomic", {"mutations": sets}),
        ("POST", "/transaction", {"reads": [["a"]], "mutations": sets[:2]}),
    ]
    with api_of(impatient.api) as api:
        stamp = api.put("a", 1)
        before = rows(path)
        with held(path):
            for method, url, body in writes:
                response = api.send(method, url, body)
                assert response.status_code == 503, f"{method} {url}"
                error = response.json()
                assert set(error) == {"error", "code"}
                assert error["code"] == "KEYVAL_DB_DOWN"
                assert error["error"].startswith("KeyVal storage unavailable: ")
            # What only reads goes on.
            assert api.json("GET", "/keys/a") == {"key": ["a"], "value": 1, "versionstamp": stamp}
            assert api.json("GET", "/keys/count") == {"count": 1}
        assert rows(path) == before
        _every_write_works_again(api)
    assert "KeyVal route error" not in impatient.output


@pytest.mark.parametrize("workers", [1, 2])
def test_what_the_end_of_the_server_meets_may_have_been_done(tmp_path: Path, workers: int) -> None:
    """It waits for a lock, the server does not wait for it, and the lock is free after all."""
    adapter = {"type": "sqlite", "baseDir": "data", "busyTimeout": 20_000}
    config = {
        "drainTimeout": 300,
        "plugins": [
            ["@buntime/plugin-database", {"adapters": [adapter], "api": {"write": True}}],
            "@buntime/plugin-keyval",
        ],
    }
    insert = "INSERT INTO t VALUES (1)"
    pipeline = {"requests": [{"type": "execute", "stmt": {"sql": insert}}]}
    writes: list[tuple[str, str, Any, str]] = [
        ("PUT", "/keyval/api/keys/a", 2, "KEYVAL_OUTCOME_UNKNOWN"),
        ("DELETE", "/keyval/api/keys/b", {}, "KEYVAL_OUTCOME_UNKNOWN"),
        ("POST", "/keyval/api/queue/enqueue", {"value": 1}, "KEYVAL_OUTCOME_UNKNOWN"),
        ("GET", "/keyval/api/queue/poll", None, "KEYVAL_OUTCOME_UNKNOWN"),
        ("POST", "/database/api/execute", {"sql": insert}, "OUTCOME_UNKNOWN"),
        ("POST", "/database/v2/pipeline", pipeline, "OUTCOME_UNKNOWN"),
    ]
    with live_server(tmp_path, config, workers=workers) as server, api_of(server.api) as api:
        api.put("a", 1)
        table = {"sql": "CREATE TABLE t (x)"}
        assert api.client.post(f"{server.url}/database/api/execute", json=table).status_code == 200
        with held(tmp_path / "data" / "_default.db"):
            sockets = [_asked(server, *write[:3]) for write in writes]
            for _ in range(20):  # what came before these has begun
                with api_of(server.api) as other:
                    assert other.value("a") == 1
            server.process.send_signal(signal.SIGTERM)
            for (method, path, _, code), sock in zip(writes, sockets, strict=True):
                status, body = _answer(sock)
                assert (status, body["code"]) == (503, code), f"{method} {path}: {body}"


def _asked(server: LiveServer, method: str, path: str, body: Any) -> socket.socket:
    """A request that is sent, and not answered."""
    parts = urlsplit(server.url)
    sock = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE)
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
    sock.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content)
    return sock


def _answer(sock: socket.socket) -> tuple[int, Any]:
    with sock:
        received = b""
        while part := sock.recv(65536):
            received += part
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


def _every_write_works_again(api: Api) -> None:
    api.put("a", 2)
    assert api.mutate({"type": "sum", "key": ["a"], "value": 1})["ok"] is True
    assert api.value("a") == 3
    assert api.json("DELETE", "/keys/a") == {"deletedCount": 1}
    assert api.keys() == []
