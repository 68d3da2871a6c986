"""Websockets through rules."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from proxy.conftest import Serve
from proxy.raw_target import raw_target
from proxy.upstream_app import MIB
from support.live import LiveServer
from support.waiting import PATIENCE
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect


@pytest.fixture(scope="module")
def server(serve: Serve, target: str) -> Iterator[LiveServer]:
    rules: list[dict[str, Any]] = [
        {"pattern": "^/up(/.*)$", "rewrite": "$1", "target": target, "headers": {"x-rule": "1"}},
        {"pattern": "^/none", "target": target, "ws": False},
        {"pattern": "^/none/(.*)", "target": target.replace("http", "ws"), "rewrite": "/talk"},
        {"pattern": "^/only-http", "target": target, "ws": False},
        {"pattern": "^/dead", "target": "http://127.0.0.1:9"},
    ]
    with serve(*rules, maxWebsockets=3, connectTimeout="2s") as running:
        yield running


@contextmanager
def dial(server: LiveServer, path: str, **options: Any) -> Iterator[ClientConnection]:
    """A websocket; those of the tests before may have to end first."""
    url = f"{server.url.replace('http', 'ws')}{path}"
    deadline = time.monotonic() + PATIENCE
    with ExitStack() as held:
        while True:
            try:
                socket = held.enter_context(
                    connect(url, proxy=None, open_timeout=PATIENCE, **options)
                )
                break
            except InvalidStatus as refused:
                if refused.response.status_code != 503 or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        yield socket


def test_messages_pass_in_both_directions(server: LiveServer) -> None:
    headers = {"cookie": "a=b", "x-own": "2"}
    with dial(
        server, "/up/talk?q=%201&r", subprotocols=["v2", "v1"], additional_headers=headers
    ) as socket:
        told = json.loads(socket.recv(20))  # sent by the target before it was asked anything
        assert told["query"] == "q=%201&r"
        got = told["headers"]
        assert (got["cookie"], got["x-own"], got["x-rule"]) == ("a=b", "2", "1")
        assert got["x-forwarded-for"] == "127.0.0.1"
        assert got["x-forwarded-proto"] == "http"
        assert got["x-buntime-hop"] == "1"
        assert socket.subprotocol == "v2"
        socket.send("texts")
        assert socket.recv(20) == "texts"
        socket.send(b"\x00\xff" * 40_000)
        assert socket.recv(20) == b"\x00\xff" * 40_000
        for number in range(50):
            socket.send(str(number))
        assert [socket.recv(20) for _ in range(50)] == [str(number) for number in range(50)]


def test_how_the_target_ends_it_is_told(server: LiveServer) -> None:
    with dial(server, "/up/talk") as socket:
        socket.recv(20)
        socket.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(20)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4321, "as you say")


def test_too_large_a_message_ends_it(server: LiveServer) -> None:
    with dial(server, "/up/talk", max_size=None) as socket:
        socket.recv(20)
        socket.send("large")  # 2 MiB
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(20)
    assert closed.value.rcvd is not None
    told = "a message of the target is larger than maxMessageSize"
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1009, told)


@pytest.mark.parametrize(
    ("path", "status"),
    [("/up/refuse", 502), ("/up/nothing", 502), ("/dead", 502), ("/only-http", 404), ("/x", 404)],
)
def test_what_cannot_be_dialled_is_refused(server: LiveServer, path: str, status: int) -> None:
    with pytest.raises(InvalidStatus) as refused, dial(server, path):
        pass
    assert refused.value.response.status_code == status
    body = json.loads(refused.value.response.body or b"{}")
    assert body["success"] is False
    assert "127.0.0.1" not in body["error"]


NO_WEBSOCKETS = [
    b"HTTP/1.1 302 Found\r\nlocation: ws://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"garbage\r\n\r\n",
    b"",
]


def test_a_target_that_takes_no_websocket(serve: Serve) -> None:
    """Redirects are not followed: they could lead past what rules may lead to."""
    with raw_target() as raw, serve({"pattern": "^/", "target": raw.url}) as one:
        for count, answer in enumerate(NO_WEBSOCKETS, 1):
            raw.answers = [answer]
            with pytest.raises(InvalidStatus) as refused, dial(one, "/x"):
                pass
            assert refused.value.response.status_code == 502, answer
            assert raw.connections == count
    assert '"level":"error"' not in one.output


def test_a_rule_without_websockets_leaves_them_to_the_next(server: LiveServer) -> None:
    with dial(server, "/none/x") as socket:
        assert json.loads(socket.recv(20))["query"] == ""


def test_only_so_many_are_open(server: LiveServer) -> None:
    url = f"{server.url.replace('http', 'ws')}/up/talk"
    with ExitStack() as held:
        for _ in range(3):
            held.enter_context(dial(server, "/up/talk"))
        with (
            pytest.raises(InvalidStatus) as refused,
            connect(url, proxy=None, open_timeout=PATIENCE),
        ):
            pass
    assert refused.value.response.status_code == 503
    with dial(server, "/up/talk") as socket:
        socket.recv(20)


def test_a_stop_says_goodbye(serve: Serve, target: str) -> None:
    with serve({"pattern": "^/", "target": target}) as server:
        with dial(server, "/talk") as socket:
            socket.recv(20)
            server.process.send_signal(15)
            with pytest.raises(ConnectionClosed) as closed:
                socket.recv(20)
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
        assert server.process.wait(20) == 0
    assert '"level":"error"' not in server.output


def test_messages_are_held_back_for_who_is_slow(server: LiveServer) -> None:
    """What a client does not take waits at the target, and not here."""
    with dial(server, "/up/talk", max_queue=1) as socket:
        socket.recv(20)
        message = b"x" * (MIB // 2)
        for _ in range(8):
            socket.send(message)
        assert [len(socket.recv(20)) for _ in range(8)] == [len(message)] * 8
