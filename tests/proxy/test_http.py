"""Requests on their way to a target, and answers on their way back."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from proxy.conftest import Serve, client_for
from proxy.upstream_app import MIB, SEEN
from support.database import wait_until
from support.live import LiveServer
from support.waiting import PATIENCE


def told(answer: httpx2.Response) -> dict[str, Any]:
    """What the target got, its headers as a dict."""
    content: dict[str, Any] = answer.json()
    return {**content, "headers": dict(content["headers"])}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_methods_paths_queries_and_bodies_pass(client: httpx2.Client, method: str) -> None:
    body = None if method in ("GET", "DELETE", "OPTIONS") else b"content"
    answer = client.request(method, "/up/a%2Fb/%C3%A4;x=1?b=%20&b=2&empty=", content=body)
    got = told(answer)
    assert answer.status_code == 200
    assert (got["method"], got["path"]) == (method, "/a%2Fb/%C3%A4;x=1")
    assert got["query"] == "b=%20&b=2&empty="
    assert got["body"] == (body or b"").decode()
    assert got["headers"].get("content-length") == (str(len(body)) if body else None)


def test_head_has_the_headers_of_get(client: httpx2.Client) -> None:
    answer = client.head("/up/x")
    assert answer.status_code == 200
    assert int(answer.headers["content-length"]) > 0
    assert answer.content == b""
    assert client.get("/up/x").status_code == 200  # on the same connection to the target


def test_an_answer_without_content(client: httpx2.Client) -> None:
    answer = client.get("/up/unchanged")
    assert (answer.status_code, answer.headers["etag"]) == (304, '"1"')


def test_who_sent_it_is_told(client: httpx2.Client, proxy: LiveServer) -> None:
    host = urlsplit(proxy.url).netloc
    headers = told(client.get("/up/x"))["headers"]
    assert headers["host"] == host
    assert headers["x-forwarded-host"] == host
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-request-id"]
    # From a trusted proxy, which the loopback interface is, what is there is kept.
    before = {
        "x-forwarded-for": "203.0.113.9, 198.51.100.2",
        "x-forwarded-proto": "https",
        "x-forwarded-prefix": "/shop",
        "x-forwarded-port": "8443",
    }
    headers = told(client.get("/up/x", headers=before))["headers"]
    assert headers["x-forwarded-for"] == "203.0.113.9, 198.51.100.2, 127.0.0.1"
    assert headers["x-real-ip"] == "198.51.100.2"
    assert headers["x-forwarded-proto"] == "https"
    assert (headers["x-forwarded-prefix"], headers["x-forwarded-port"]) == ("/shop", "8443")


def test_a_stranger_cannot_say_who_he_is(serve: Serve, target: str, tmp_path: Path) -> None:
    environ = {"RUNTIME_TRUSTED_PROXIES": "203.0.113.1"}
    with serve({"pattern": "^/", "target": target}, environ=environ) as server:
        before = {
            "x-forwarded-for": "203.0.113.9",
            "x-forwarded-proto": "https",
            "x-forwarded-host": "bank.example",
            "x-real-ip": "203.0.113.9",
            "forwarded": "for=203.0.113.9",
            "x-forwarded-prefix": "/evil",
            "x-forwarded-port": "1",
            "x-forwarded-ssl": "on",
            "x_forwarded_for": "203.0.113.9",
            "x_forwarded_prefix": "/evil",
            "X-Forwarded_Proto": "https",
            "x_trace": "kept",
        }
        headers = told(httpx2.get(f"{server.url}/x", headers=before, trust_env=False))["headers"]
    assert headers["x-forwarded-for"] == headers["x-real-ip"] == "127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    said = {name for name in headers if "forwarded" in name}
    assert said == {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"}
    assert headers["x_trace"] == "kept"
    assert headers["x-forwarded-host"] == urlsplit(server.url).netloc


def test_events_come_as_they_happen(client: httpx2.Client) -> None:
    with client.stream("GET", "/up/events") as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(4)] == ["data: 0", "", "data: 1", ""]
        assert "content-length" not in answer.headers
        assert SEEN.open_streams == 1
    # Who leaves is missed at the target, too.
    wait_until(lambda: SEEN.open_streams == 0)


def test_large_contents_pass_in_parts(client: httpx2.Client, proxy: LiveServer) -> None:
    """In both directions, and however much it is, at the same memory."""
    with client.stream("GET", "/up/big/8") as answer:
        assert sum(map(len, answer.iter_bytes())) == 8 * MIB
    before = peak_of(proxy)
    with client.stream("GET", "/up/big/96") as answer:
        assert sum(map(len, answer.iter_bytes())) == 96 * MIB
    with client.stream("GET", "/up/big/96") as answer:  # by who takes it slowly
        parts = answer.iter_raw(65536)
        for _ in range(16):
            next(parts)
            time.sleep(0.002)

    def parts_of(count: int) -> Iterator[bytes]:
        for _ in range(count):
            yield b"y" * MIB

    assert client.post("/up/sink", content=parts_of(64)).text == str(64 * MIB)
    assert client.post("/up/sink", content=b"z" * (32 * MIB)).text == str(32 * MIB)
    assert peak_of(proxy) - before < 24 * MIB


def peak_of(server: LiveServer) -> int:
    """The most memory that a server has had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_too_large_a_body_is_refused(proxy: LiveServer) -> None:
    url = urlsplit(proxy.url)
    with socket.create_connection((url.hostname, url.port), timeout=PATIENCE) as connection:
        head = (
            f"POST /up/sink HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: {101 * MIB}\r\n\r\n"
        )
        connection.sendall(head.encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_compressed_bodies_pass_as_they_are(client: httpx2.Client) -> None:
    got = told(client.post("/up/x", content=b"no zstd", headers={"content-encoding": "zstd"}))
    assert (got["body"], got["headers"]["content-encoding"]) == ("no zstd", "zstd")


def test_07_dead_and_slow_targets(serve: Serve, target: str) -> None:
    with socket.socket() as reserved:  # bound, and nobody listens
        reserved.bind(("127.0.0.1", 0))
        dead = f"http://127.0.0.1:{reserved.getsockname()[1]}"
        rules = (
            {"pattern": "^/dead", "target": dead},
            {"pattern": "^/nowhere", "target": "http://nowhere.invalid"},
            {"pattern": "^/slow", "target": target},
            {"pattern": "^/events", "target": target},
        )
        with (
            serve(*rules, readTimeout="300ms", connectTimeout="2s") as server,
            client_for(server) as client,
        ):
            refused = client.get("/dead")
            assert refused.status_code == 502
            assert refused.json()["error"] == "Proxy error: the target refused the connection"
            assert "127.0.0.1" not in refused.text
            assert refused.json()["code"] == "BAD_GATEWAY"
            unknown = client.get("/nowhere")
            assert (unknown.status_code, "invalid" in unknown.text) == (502, False)
            late = client.get("/slow")
            assert late.status_code == 504
            assert late.json()["error"] == "Proxy error: the target took too long to answer"
            assert late.json()["code"] == "GATEWAY_TIMEOUT"


def test_only_so_many_connections_are_made(serve: Serve, target: str) -> None:
    options = {"maxConnections": 1, "connectTimeout": "200ms"}
    with (
        serve({"pattern": "^/", "target": target}, **options) as server,
        client_for(server) as client,
    ):
        with client.stream("GET", "/events") as answer:
            next(answer.iter_lines())
            busy = client.get("/x")
            assert (busy.status_code, busy.json()["code"]) == (503, "TARGET_BUSY")
        wait_until(lambda: client.get("/x").status_code == 200)


def test_a_stop_ends_streams_of_events(serve: Serve, target: str) -> None:
    with serve({"pattern": "^/", "target": target}) as server:
        with httpx2.stream("GET", f"{server.url}/events", trust_env=False) as answer:
            lines = answer.iter_lines()
            next(lines)
            begun = time.monotonic()
            server.process.send_signal(15)
            for _ in lines:  # it has an end now
                assert time.monotonic() - begun < 20
        assert server.process.wait(20) == 0
    assert '"level":"error"' not in server.output
