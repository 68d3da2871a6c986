"""The original server's dialect, over HTTP and over its own websocket framing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.database import Socket, websocket
from support.hrana import HranaHttp, batch, execute, value
from support.live import LiveServer


def test_nothing_asked_nothing_opened(hrana: HranaHttp) -> None:
    assert hrana.legacy() == ([], None)


def test_the_shape_of_every_result(hrana: HranaHttp) -> None:
    results, baton = hrana.legacy(
        execute("CREATE TABLE t (id INTEGER PRIMARY KEY, x)"),
        execute("INSERT INTO t (x) VALUES (?)", 1.0),
        execute("SELECT x FROM t"),
        {"type": "batch", "batch": {"steps": [{"stmt": {"sql": "SELECT 1"}}]}},
        {"type": "sequence", "sql": "SELECT 1; SELECT 2"},
        {"type": "describe", "sql": "DROP TABLE t"},
        {"type": "get_autocommit"},
        {"type": "close"},
    )
    assert baton is None
    inserted = {
        "type": "ok",
        "result": {
            "cols": [],
            "rows": [],
            "affected_row_count": 1,
            "last_insert_rowid": "1",
            "rows_read": 0,
            "rows_written": 1,
        },
    }
    assert results[1] == inserted
    assert results[2]["result"]["rows"] == [[value(1.0)]]
    assert results[3]["result"].keys() == {"step_results", "step_errors"}
    assert results[4] == {"type": "ok"}
    assert results[5] == {
        "type": "ok",
        "result": {
            "params": [],
            "cols": [],
            "is_ddl": True,
            "is_explain": False,
            "is_readonly": False,
        },
    }
    assert results[6] == {"type": "ok", "is_autocommit": True}
    assert results[7] == {"type": "ok"}


def test_a_bad_baton_is_a_result(hrana: HranaHttp) -> None:
    (error,), baton = hrana.legacy(execute("SELECT 1"), execute("SELECT 2"), baton="nonsense")
    assert error["type"] == "error"
    assert error["error"].keys() == {"code", "message"}
    assert error["error"]["code"] == "INVALID_BATON"
    assert baton is None


def test_a_transaction_as_the_original_client_does_it(hrana: HranaHttp) -> None:
    _, none = hrana.legacy(execute("CREATE TABLE transaction_log (x)"))
    assert none is None  # only an open transaction needs a baton
    _, baton = hrana.legacy(execute("BEGIN"))
    for number in (1, 2):
        _, baton = hrana.legacy(
            execute("INSERT INTO transaction_log VALUES (?)", number), baton=baton
        )
    assert hrana.rows("SELECT * FROM transaction_log") == []
    _, ended = hrana.legacy(execute("COMMIT"), baton=baton)
    assert ended is None
    assert hrana.rows("SELECT * FROM transaction_log") == [[1], [2]]


def test_after_a_failure_the_client_still_has_its_transaction(hrana: HranaHttp) -> None:
    hrana.legacy(execute("CREATE TABLE t (x UNIQUE)"))
    _, baton = hrana.legacy(execute("BEGIN"), execute("INSERT INTO t VALUES (1)"))
    (failed,), baton = hrana.legacy(execute("INSERT INTO t VALUES (1)"), baton=baton)
    assert failed["error"]["code"] == "SQLITE_CONSTRAINT_UNIQUE"
    assert baton is not None
    # SQLite ends the transaction here, and the client must not go on without one.
    (rolled,), baton = hrana.legacy(execute("INSERT OR ROLLBACK INTO t VALUES (1)"), baton=baton)
    assert rolled["type"] == "error"
    assert baton is not None
    (undone,), _ = hrana.legacy(execute("ROLLBACK"), baton=baton)
    assert undone["type"] == "error"  # there is nothing left to roll back
    assert hrana.rows("SELECT * FROM t") == []


def test_closing_a_session(hrana: HranaHttp) -> None:
    _, baton = hrana.legacy(execute("BEGIN"))
    (closed, after), none = hrana.legacy({"type": "close"}, execute("SELECT 1"), baton=baton)
    assert closed == {"type": "ok"}
    assert after["error"]["code"] == "NO_SESSION"
    assert none is None
    (gone,), _ = hrana.legacy(execute("SELECT 1"), baton=baton)
    assert gone["error"]["code"] == "INVALID_BATON"


def test_stored_sql_keeps_the_session(hrana: HranaHttp) -> None:
    (stored,), baton = hrana.legacy({"type": "store_sql", "sql_id": 1, "sql": "SELECT 42"})
    assert stored == {"type": "ok"}
    assert baton is not None
    (found, closed), baton = hrana.legacy(
        {"type": "execute", "stmt": {"sql_id": 1}},
        {"type": "close_sql", "sql_id": 1},
        baton=baton,
    )
    assert found["result"]["rows"] == [[value(42)]]
    assert closed == {"type": "ok"}
    assert baton is None


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"type": "nonsense"}, "UNKNOWN_REQUEST"),
        ({}, "UNKNOWN_REQUEST"),
        (5, "UNKNOWN_REQUEST"),
        ({"type": "execute", "stmt": {}}, "MISSING_SQL"),
        ({"type": "sequence"}, "MISSING_SQL"),
        ({"type": "execute"}, "PARSE_ERROR"),
        ({"type": "execute", "stmt": {"sql": "SELEC"}}, "SQLITE_ERROR"),
    ],
)
def test_a_bad_request_spoils_no_other(hrana: HranaHttp, request_: Any, code: str) -> None:
    (bad, good), _ = hrana.legacy(request_, execute("SELECT 1"))
    assert bad["error"]["code"] == code
    assert good["result"]["rows"] == [[value(1)]]


def test_conditions_in_shorthand(hrana: HranaHttp) -> None:
    steps = batch(
        (None, "FAIL"),
        ({"ok": 0}, "SELECT 1"),
        ({"error": 0}, "SELECT 2"),
        ({"not": {"ok": 0}}, "SELECT 3"),
        ({"and": [{"error": 0}, {"ok": 2}]}, "SELECT 4"),
        ({"or": [{"ok": 0}, {"ok": 1}]}, "SELECT 5"),
        ({"is_autocommit": True}, "SELECT 6"),
        ({}, "SELECT 7"),
    )
    (found,), _ = hrana.legacy({"type": "batch", "batch": steps})
    ran = [step is not None for step in found["result"]["step_results"]]
    assert ran == [False, False, True, True, True, False, True, True]


@pytest.fixture
def socket(hrana_server: LiveServer, hrana: HranaHttp) -> Iterator[Socket]:
    """The original's websocket, whose database is named by headers."""
    headers = {"x-database-namespace": hrana.tenant, "x-database-adapter": "sqlite"}
    with websocket(hrana_server, "/database/api/ws", **headers) as opened:
        yield opened


def reply(socket: Socket, request_: Any, request_id: Any = 7) -> Any:
    answer = socket.ask({"request_id": request_id, "request": request_})
    assert answer.keys() == {"request_id", "response"}
    assert answer["request_id"] == request_id
    return answer["response"]


def test_the_framing_of_the_socket(socket: Socket, hrana: HranaHttp) -> None:
    reply(socket, execute("CREATE TABLE t (x)"))
    reply(socket, execute("BEGIN"))
    assert reply(socket, {"type": "get_autocommit"}) == {"type": "ok", "is_autocommit": False}
    reply(socket, execute("INSERT INTO t VALUES (1)"))
    assert hrana.rows("SELECT * FROM t") == []
    reply(socket, execute("COMMIT"))
    assert hrana.rows("SELECT * FROM t") == [[1]]
    assert reply(socket, {"type": "nonsense"}, 8)["error"]["code"] == "UNKNOWN_REQUEST"
    assert reply(socket, {"type": "close"}) == {"type": "ok"}
    assert reply(socket, execute("SELECT 1"), "text")["result"]["rows"] == [[value(1)]]


def test_a_frame_that_cannot_be_read(socket: Socket) -> None:
    for frame in ("nonsense", "[]", "{}"):
        answer = socket.ask(frame)
        assert answer["request_id"] == 0
        assert answer["response"]["error"]["code"] == "PARSE_ERROR"


def test_a_lost_socket_rolls_back(socket: Socket, hrana: HranaHttp) -> None:
    reply(socket, execute("CREATE TABLE t (x)"))
    reply(socket, execute("BEGIN IMMEDIATE"))
    reply(socket, execute("INSERT INTO t VALUES (1)"))
    socket.connection.close()
    assert hrana.rows("INSERT INTO t VALUES (2)") == []
    assert hrana.rows("SELECT * FROM t") == [[2]]
