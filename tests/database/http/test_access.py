"""Who may do what: with a token everything, without one only this machine, and only reading."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_host import Forbidden, OptionError, Unauthorized, read_options
from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.config import FaceOptions
from starlette.requests import HTTPConnection
from support.database import Api, Socket, database_server, websocket
from support.live import live_server
from websockets.exceptions import ConnectionClosed, InvalidStatus

READS: list[tuple[str, str, Any]] = [
    ("GET", "health", None),
    ("GET", "adapters", None),
    ("GET", "tenants", None),
    ("GET", "tables", None),
    ("POST", "query", {"sql": "SELECT 1"}),
]
WRITES: list[tuple[str, str, Any]] = [
    ("POST", "query", {"sql": "SELECT 1", "readonly": False}),
    ("POST", "execute", {"sql": "SELECT 1"}),
    ("POST", "batch", {"statements": []}),
    ("POST", "tenants", {"id": "acme"}),
    ("DELETE", "tenants/acme", None),
    ("POST", "tables/t/rows", {"row": {"x": 1}}),
    ("PATCH", "tables/t/rows", {"where": {"x": 1}, "set": {"x": 1}}),
    ("DELETE", "tables/t/rows", {"where": {"x": 1}}),
    ("POST", "pipeline", {"requests": []}),
    ("POST", "v1/execute", {"stmt": {"sql": "SELECT 1"}}),
    ("POST", "v1/batch", {"batch": {"steps": []}}),
    ("POST", "v2/pipeline", {"requests": []}),
    ("POST", "v3/pipeline", {"requests": []}),
    ("POST", "v3/cursor", {"batch": {"steps": []}}),
    ("POST", "dev/acme/v2/pipeline", {"requests": []}),
]
SOCKETS = ["/database/api", "/database/", "/database/api/ws", "/database/api/dev/acme"]


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server as it is without any option."""
    with database_server(tmp_path_factory.mktemp("closed")) as server, Api(server) as api:
        yield api


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server with tokens."""
    folder = tmp_path_factory.mktemp("locked")
    with (
        database_server(folder, token="right", apiKeys=["second"]) as server,
        Api(server) as api,
    ):
        yield api


def status(api: Api, method: str, path: str, body: Any, **headers: str) -> Any:
    answer = api.client.request(method, f"{api.base}/{path}", json=body, headers=headers)
    return answer.status_code, answer.json().get("code") if answer.status_code >= 400 else None


@pytest.mark.parametrize(("method", "path", "body"), READS)
def test_without_a_token_this_machine_may_read(
    closed: Api, method: str, path: str, body: Any
) -> None:
    assert status(closed, method, path, body) == (200, None)


@pytest.mark.parametrize(("method", "path", "body"), WRITES)
def test_without_a_token_nobody_may_write(closed: Api, method: str, path: str, body: Any) -> None:
    assert status(closed, method, path, body) == (403, "WRITE_DISABLED")


def test_a_query_that_writes_is_refused(closed: Api) -> None:
    body = {"sql": "CREATE TABLE t (x)"}
    assert status(closed, "POST", "query", body) == (400, "SQLITE_AUTH")


@pytest.mark.parametrize(
    "headers",
    [
        {"x-forwarded-for": "1.2.3.4"},  # a proxy on this machine
        {"forwarded": "for=1.2.3.4"},
    ],
)
def test_without_a_token_nobody_else_may_read(closed: Api, headers: dict[str, str]) -> None:
    for method, path, body in READS:
        assert status(closed, method, path, body, **headers) == (403, "LOCAL_ONLY")


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example"])
def test_a_name_that_was_made_to_mean_this_machine(closed: Api, host: str) -> None:
    for method, path, body in READS:
        assert status(closed, method, path, body, host=host) == (421, "UNTRUSTED_HOST")


def test_a_page_from_elsewhere_is_refused(closed: Api) -> None:
    for method, path, body in (*READS, *WRITES):
        if method != "GET":
            found = status(closed, method, path, body, origin="https://evil.example")
            assert found == (403, "ORIGIN_NOT_ALLOWED")


@pytest.mark.slow
@pytest.mark.parametrize(("method", "path", "body"), [*READS, *WRITES])
def test_with_a_token_it_is_needed_for_everything(
    locked: Api, method: str, path: str, body: Any
) -> None:
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic right"}):
        assert status(locked, method, path, body, **headers) == (401, "AUTH_REQUIRED")
    for headers in ({"authorization": "Bearer right"}, {"x-api-key": "second"}):
        code, problem = status(locked, method, path, body, **headers)
        assert code < 500
        assert problem in (None, "TABLE_NOT_FOUND", "TENANT_NOT_FOUND")


def test_the_version_is_no_secret(locked: Api) -> None:
    assert locked.client.get(f"{locked.base}/v2").status_code == 200


def test_with_a_token_a_query_still_writes_only_on_request(locked: Api) -> None:
    token = {"authorization": "Bearer right"}
    body = {"sql": "CREATE TABLE q (x)"}
    assert status(locked, "POST", "query", body, **token) == (400, "SQLITE_AUTH")
    assert status(locked, "POST", "query", {**body, "readonly": False}, **token) == (200, None)


@pytest.mark.parametrize("path", SOCKETS)
def test_a_websocket_without_permission(closed: Api, path: str) -> None:
    with pytest.raises(InvalidStatus) as raised, websocket(closed.server, path):
        pass
    assert raised.value.response.status_code == 403


def hello(socket: Socket, jwt: str | None) -> Any:
    return socket.ask({"type": "hello", "jwt": jwt})["type"]


def test_hello_carries_the_token(locked: Api) -> None:
    opening = {"type": "request", "request_id": 1}
    opening["request"] = {"type": "open_stream", "stream_id": 1}
    with websocket(locked.server, "/database/api", "hrana2") as socket:
        assert hello(socket, "right") == "hello_ok"
        assert socket.ask(opening)["type"] == "response_ok"
        assert hello(socket, None) == "hello_ok"
        assert hello(socket, "wrong") == "hello_error"
        with pytest.raises(ConnectionClosed):
            socket.receive()
    for jwt in ("wrong", "", None):
        with websocket(locked.server, "/database/api", "hrana2") as socket:
            assert hello(socket, jwt) == "hello_error"
            with pytest.raises(ConnectionClosed):
                socket.receive()
    with websocket(locked.server, "/database/api", "hrana2") as socket:
        with pytest.raises(ConnectionClosed) as raised:
            socket.ask(opening)
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1008


@pytest.mark.slow
def test_a_websocket_that_does_not_say_hello_is_closed(tmp_path: Path) -> None:
    api = {"idleTimeout": "100ms"}
    with (
        database_server(tmp_path, token="right", api=api) as server,
        websocket(server, "/database/api", "hrana3") as silent,
        websocket(server, "/database/api", "hrana3") as known,
    ):
        assert hello(known, "right") == "hello_ok"
        with pytest.raises(ConnectionClosed) as raised:
            silent.receive()
        assert raised.value.rcvd is not None
        assert raised.value.rcvd.code == 1008
        assert hello(known, "right") == "hello_ok"


def test_a_header_of_the_handshake_will_do(locked: Api) -> None:
    token = {"authorization": "Bearer right"}
    with websocket(locked.server, "/database/api", "hrana3", **token) as socket:
        assert hello(socket, None) == "hello_ok"
    with websocket(locked.server, "/database/api/ws", **token) as socket:
        frame = {"request_id": 1, "request": {"type": "get_autocommit"}}
        assert socket.ask(frame)["response"]["is_autocommit"] is True
    with pytest.raises(InvalidStatus) as raised, websocket(locked.server, "/database/api/ws"):
        pass
    assert raised.value.response.status_code == 401


@pytest.mark.slow
def test_the_master_key_of_the_host_is_a_token(tmp_path: Path) -> None:
    adapter = {"type": "sqlite", "baseDir": "data"}
    plugins = [["@buntime/plugin-database", {"adapters": [adapter]}]]
    environ = {"RUNTIME_MASTER_KEY": "a-long-master-key-of-the-host"}
    with live_server(tmp_path, {"plugins": plugins}, environ) as server:
        key = environ["RUNTIME_MASTER_KEY"]
        with Api(server) as api:
            api.get("tables", 401)
            api.get("tables", authorization=f"Bearer {key}")
        with websocket(server, "/database/api", "hrana2") as socket:
            assert hello(socket, key) == "hello_ok"


def no_master_key(_: HTTPConnection) -> None:
    """Lets everyone pass, as a host without a key does."""


def connection(client: str | None, **headers: str) -> HTTPConnection:
    pairs = [(name.encode(), text.encode()) for name, text in headers.items()]
    address = None if client is None else (client, 1234)
    return HTTPConnection({"type": "http", "headers": pairs, "client": address})


@pytest.mark.parametrize(
    ("client", "host", "local"),
    [
        ("127.0.0.1", "localhost:8000", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("127.8.9.1", "app.localhost", True),
        ("::1", "[::1]:8000", True),
        ("::ffff:127.0.0.1", "localhost", True),
        ("10.0.0.5", "localhost", False),
        ("::ffff:10.0.0.5", "localhost", False),
        ("127.0.0.1", "10.0.0.5", False),
        ("127.0.0.1", "", False),
        ("127.0.0.1", "[", False),
        ("nonsense", "localhost", False),
        (None, "localhost", False),
    ],
)
def test_what_this_machine_is(client: str | None, host: str, local: bool) -> None:
    access = Access((), write=True, authorize=no_master_key)
    if local:
        access.check(connection(client, host=host), write=True)
    else:
        with pytest.raises(Forbidden):
            access.check(connection(client, host=host), write=False)


def test_a_token_is_good_from_everywhere() -> None:
    access = Access(("right",), write=False, authorize=no_master_key)
    access.check(connection("10.0.0.5", authorization="bearer right"), write=True)
    for headers in ({}, {"authorization": "Bearer"}, {"x-api-key": "wrong"}):
        with pytest.raises(Unauthorized):
            access.check(connection("127.0.0.1", host="localhost", **headers), write=False)


def test_blank_tokens_are_none() -> None:
    assert read_options(FaceOptions, {"token": " ", "apiKeys": ["", " a "]}).tokens() == ("a",)
    assert FaceOptions().tokens() == ()


@pytest.mark.parametrize(
    "options",
    [
        {"token": 5},
        {"apiKeys": "text"},
        {"api": {"write": "yes"}},
        {"api": {"maxRows": 0}},
        {"api": {"maxStreams": 0}},
        {"api": {"statementTimeout": "soon"}},
        {"api": {"maxResponseSize": "huge"}},
    ],
)
def test_options_that_are_refused(options: dict[str, Any]) -> None:
    (name, inner), *_ = options.items()
    path = f"api.{next(iter(inner))}" if isinstance(inner, dict) else name
    with pytest.raises(OptionError, match=f"^{path}: "):
        read_options(FaceOptions, options)
