"""The standard over a websocket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.database import Socket, wait_until, websocket
from support.hrana import HranaHttp, batch, stmt, value
from support.live import LiveServer
from websockets.exceptions import ConnectionClosed, InvalidStatus


@pytest.fixture
def path(hrana: HranaHttp) -> str:
    """The database of this test."""
    return f"/database/api/dev/{hrana.tenant}"


@pytest.fixture
def socket(hrana_server: LiveServer, path: str) -> Iterator[Socket]:
    """A connection that has said hello and opened stream 1."""
    with websocket(hrana_server, path, "hrana3") as opened:
        assert opened.connection.subprotocol == "hrana3"
        assert opened.ask({"type": "hello", "jwt": None}) == {"type": "hello_ok"}
        assert ask(opened, "open_stream", stream_id=1) == {"type": "open_stream"}
        yield opened


def request(request_id: int, kind: str, **fields: Any) -> dict[str, Any]:
    return {
        "type": "request",
        "request_id": request_id,
        "request": {"type": kind, **fields},
    }


def ask(socket: Socket, kind: str, **fields: Any) -> Any:
    """The response to a request, or its error."""
    answer = socket.ask(request(5, kind, **fields))
    assert answer["request_id"] == 5
    return answer["response"] if answer["type"] == "response_ok" else answer["error"]


def run(socket: Socket, sql: str, *args: object, stream_id: int = 1) -> Any:
    found = ask(socket, "execute", stream_id=stream_id, stmt=stmt(sql, *args))
    return found["result"]["rows"] if "result" in found else found["code"]


def test_every_request_of_a_stream(socket: Socket) -> None:
    assert run(socket, "SELECT ?", 2**63 - 1) == [[value(2**63 - 1)]]
    found = ask(socket, "batch", stream_id=1, batch=batch((None, "SELECT 1"), (None, "x")))
    assert found["result"]["step_errors"][1]["code"] == "SQLITE_ERROR"
    sequence = ask(socket, "sequence", stream_id=1, sql="CREATE TABLE t (x); SELECT 1;")
    assert sequence == {"type": "sequence"}
    described = ask(socket, "describe", stream_id=1, sql="SELECT x FROM t")
    assert described["result"]["cols"] == [{"name": "x", "decltype": None}]
    assert ask(socket, "get_autocommit", stream_id=1)["is_autocommit"] is True
    assert run(socket, "BEGIN") == []
    assert ask(socket, "get_autocommit", stream_id=1)["is_autocommit"] is False
    assert ask(socket, "close_stream", stream_id=1) == {"type": "close_stream"}
    assert ask(socket, "get_autocommit", stream_id=1)["code"] == "STREAM_NOT_OPEN"
    assert ask(socket, "open_stream", stream_id=1) == {"type": "open_stream"}


def test_requests_may_follow_hello_without_waiting(hrana_server: LiveServer, path: str) -> None:
    with websocket(hrana_server, path, "hrana2") as socket:
        socket.send({"type": "hello", "jwt": None})
        socket.send(request(1, "open_stream", stream_id=9))
        for number in range(2, 50):
            socket.send(request(number, "execute", stream_id=9, stmt=stmt("SELECT ?", number)))
        assert socket.receive() == {"type": "hello_ok"}
        answers = [socket.receive() for _ in range(1, 50)]
        assert [answer["request_id"] for answer in answers] == [*range(1, 50)]
        rows = [answer["response"]["result"]["rows"] for answer in answers[1:]]
        assert rows == [[[value(number)]] for number in range(2, 50)]


def test_streams_are_separate_and_do_not_wait_for_each_other(socket: Socket) -> None:
    run(socket, "CREATE TABLE t (x)")
    ask(socket, "open_stream", stream_id=2)
    run(socket, "BEGIN")
    run(socket, "INSERT INTO t VALUES (1)")
    assert run(socket, "SELECT count(*) FROM t", stream_id=2) == [[value(0)]]
    # Stream 2 waits for the lock of stream 1, which still is served.
    socket.send(request(1, "execute", stream_id=2, stmt=stmt("INSERT INTO t VALUES (2)")))
    socket.send(request(2, "execute", stream_id=1, stmt=stmt("COMMIT")))
    assert [socket.receive()["request_id"] for _ in range(2)] == [2, 1]
    assert run(socket, "SELECT count(*) FROM t") == [[value(2)]]


def test_a_lost_connection_rolls_back(hrana_server: LiveServer, hrana: HranaHttp) -> None:
    hrana.rows("CREATE TABLE t (x)")
    with websocket(hrana_server, f"/database/api/dev/{hrana.tenant}", "hrana3") as socket:
        ask(socket, "open_stream", stream_id=1)
        run(socket, "BEGIN IMMEDIATE")
        run(socket, "INSERT INTO t VALUES (1)")
    assert hrana.rows("INSERT INTO t VALUES (2)") == []
    assert hrana.rows("SELECT x FROM t") == [[2]]


def test_a_lost_connection_interrupts_what_runs(hrana_server: LiveServer, hrana: HranaHttp) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT * FROM n"
    with websocket(hrana_server, f"/database/api/dev/{hrana.tenant}", "hrana3") as socket:
        ask(socket, "open_stream", stream_id=1)
        socket.send(request(1, "execute", stream_id=1, stmt=stmt(f"{endless} WHERE i < 0")))
    assert hrana.rows("SELECT 1") == [[1]]


@pytest.mark.slow
def test_a_transaction_that_keeps_the_lock_is_rolled_back(socket: Socket, hrana: HranaHttp) -> None:
    run(socket, "CREATE TABLE t (x)")
    run(socket, "BEGIN IMMEDIATE")
    assert hrana.rows("INSERT INTO t VALUES (1)") == []
    assert run(socket, "INSERT INTO t VALUES (2)") == "TRANSACTION_TIMEOUT"
    assert run(socket, "ROLLBACK") == []
    assert run(socket, "SELECT * FROM t") == [[value(1)]]


@pytest.mark.slow
def test_a_transaction_that_is_forgotten_is_rolled_back(socket: Socket, hrana: HranaHttp) -> None:
    run(socket, "CREATE TABLE t (x)")
    run(socket, "BEGIN")
    run(socket, "SELECT * FROM t")
    hrana.rows("INSERT INTO t VALUES (1)")
    # What a reader still needs cannot be dropped from the log.
    wait_until(lambda: hrana.rows("PRAGMA wal_checkpoint(TRUNCATE)")[0][0] == 0)
    assert ask(socket, "get_autocommit", stream_id=1)["is_autocommit"] is True
    assert run(socket, "COMMIT") == "TRANSACTION_TIMEOUT"
    assert run(socket, "ROLLBACK") == []


def test_stored_sql_belongs_to_the_connection(socket: Socket) -> None:
    assert ask(socket, "store_sql", sql_id=3, sql="SELECT 42") == {"type": "store_sql"}
    ask(socket, "open_stream", stream_id=2)
    for stream_id in (1, 2):
        found = ask(socket, "execute", stream_id=stream_id, stmt={"sql_id": 3})
        assert found["result"]["rows"] == [[value(42)]]
    # The text is that of the moment when the request was sent.
    socket.send(request(1, "execute", stream_id=1, stmt={"sql_id": 3}))
    socket.send(request(2, "close_sql", sql_id=3))
    answers = {answer["request_id"]: answer for answer in (socket.receive(), socket.receive())}
    assert answers[1]["type"] == answers[2]["type"] == "response_ok"
    assert ask(socket, "describe", stream_id=1, sql_id=3)["code"] == "SQL_NOT_FOUND"


def test_a_cursor(socket: Socket) -> None:
    steps = batch(
        (None, "VALUES (1), (2), (3)"),
        (None, "SELECT nonsense"),
        ({"type": "ok", "step": 0}, "SELECT 4"),
    )
    opened = ask(socket, "open_cursor", stream_id=1, cursor_id=8, batch=steps)
    assert opened == {"type": "open_cursor"}
    assert run(socket, "SELECT 1") == "STREAM_BUSY"
    entries: list[Any] = []
    done = False
    while not done:
        found = ask(socket, "fetch_cursor", cursor_id=8, max_count=2)
        assert len(found["entries"]) <= 2
        entries += found["entries"]
        done = found["done"]
    assert [entry["type"] for entry in entries] == [
        *["step_begin", "row", "row", "row", "step_end"],
        "step_error",
        *["step_begin", "row", "step_end"],
    ]
    assert ask(socket, "close_cursor", cursor_id=8) == {"type": "close_cursor"}
    assert ask(socket, "fetch_cursor", cursor_id=8, max_count=2)["code"] == "CURSOR_NOT_OPEN"
    assert ask(socket, "close_cursor", cursor_id=8)["code"] == "CURSOR_NOT_OPEN"
    assert run(socket, "SELECT 1") == [[value(1)]]


@pytest.mark.parametrize("begun", [False, True])
def test_a_stream_with_an_open_cursor_takes_nothing_else(socket: Socket, begun: bool) -> None:
    steps = batch((None, "VALUES (1), (2), (3)"))
    requests: list[tuple[str, dict[str, Any]]] = [
        ("execute", {"stmt": stmt("CREATE TABLE t (x)")}),
        ("batch", {"batch": batch((None, "CREATE TABLE t (x)"))}),
        ("sequence", {"sql": "CREATE TABLE t (x)"}),
        ("describe", {"sql": "SELECT 1"}),
        ("get_autocommit", {}),
        ("open_cursor", {"cursor_id": 9, "batch": steps}),
    ]
    ask(socket, "open_cursor", stream_id=1, cursor_id=8, batch=steps)
    if begun:
        assert len(ask(socket, "fetch_cursor", cursor_id=8, max_count=2)["entries"]) == 2
    for kind, fields in requests:
        assert ask(socket, kind, stream_id=1, **fields).get("code") == "STREAM_BUSY", kind
    assert ask(socket, "fetch_cursor", cursor_id=8, max_count=10)["done"]
    ask(socket, "close_cursor", cursor_id=8)
    assert run(socket, "SELECT name FROM sqlite_schema") == []


def test_a_cursor_that_is_closed_early_runs_no_further_step(socket: Socket) -> None:
    run(socket, "CREATE TABLE t (x)")
    steps = batch((None, "VALUES (1), (2)"), (None, "INSERT INTO t VALUES (1)"))
    ask(socket, "open_cursor", stream_id=1, cursor_id=1, batch=steps)
    ask(socket, "fetch_cursor", cursor_id=1, max_count=2)
    ask(socket, "close_cursor", cursor_id=1)
    assert run(socket, "SELECT * FROM t") == []


@pytest.mark.parametrize(
    "message",
    [
        "nonsense",
        "{}",
        {"type": "nonsense"},
        request(1, "nonsense"),
        request(1, "execute", stmt=stmt("SELECT 1")),
        request(1, "open_stream", stream_id=1),
        request(1, "execute", stream_id=1, stmt={"sql": "SELECT ?", "args": [5]}),
    ],
)
def test_a_violation_closes_the_socket(socket: Socket, message: Any) -> None:
    with pytest.raises(ConnectionClosed) as raised:
        socket.ask(message)
    assert raised.value.rcvd is not None
    assert raised.value.rcvd.code == 1002


def test_a_binary_message_closes_the_socket(socket: Socket) -> None:
    socket.connection.send(b"\0")
    with pytest.raises(ConnectionClosed):
        socket.receive()


def test_subprotocols(hrana_server: LiveServer) -> None:
    offered = ("hrana3-protobuf", "hrana1", "hrana3")
    for path in ("/database/api", "/database/api/", "/database/", "/database/api/ws"):
        with websocket(hrana_server, path, *offered) as socket:
            assert socket.connection.subprotocol == "hrana3"
            assert socket.ask({"type": "hello", "jwt": None}) == {"type": "hello_ok"}
    with websocket(hrana_server) as socket:  # none on the base: the standard
        assert socket.ask({"type": "hello", "jwt": None}) == {"type": "hello_ok"}
    with (
        pytest.raises(InvalidStatus) as raised,
        websocket(hrana_server, "/database/api", "hrana3-protobuf"),
    ):
        pass
    assert raised.value.response.status_code == 400


def test_a_page_from_elsewhere_is_refused(hrana_server: LiveServer) -> None:
    for path in ("/database/api", "/database/api/ws"):
        for origin in ("https://evil.example", "null", "http://localhost.evil.example"):
            with (
                pytest.raises(InvalidStatus) as raised,
                websocket(hrana_server, path, origin=origin),
            ):
                pass
            assert raised.value.response.status_code == 403
        with websocket(hrana_server, path, origin=hrana_server.url):
            pass
