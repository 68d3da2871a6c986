"""Messages that hold more statements, arguments or values than a request may."""

from __future__ import annotations

from typing import Any

import pytest
from support.database import Socket, websocket
from support.hrana import HranaHttp, batch, execute
from support.live import LiveServer
from websockets.exceptions import ConnectionClosed

NEVER = {"type": "not", "cond": {"type": "and", "conds": []}}
STEPS = batch(*[(NEVER, "SELECT 1")] * 10_001)
VALUES = {"type": "execute", "stmt": {"sql": "x", "args": [{"type": "null"}] * 300_000}}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("v2/pipeline", {"requests": [{"type": "get_autocommit"}] * 10_001}),
        ("v3/pipeline", {"requests": [VALUES]}),
        ("v3/cursor", {"batch": {"steps": [{"stmt": {}}] * 300_000}}),
        ("v1/execute", VALUES),
        ("v1/batch", {"batch": {"steps": [{"stmt": {}}] * 300_000}}),
        ("pipeline", {"requests": [{"type": "close"}] * 10_001}),
        ("pipeline", {"requests": [VALUES]}),
    ],
)
def test_what_is_too_much_is_refused(hrana: HranaHttp, path: str, body: Any) -> None:
    assert hrana.post(path, body, 413)["code"] == "TOO_MANY_VALUES"


def test_steps_and_arguments_are_limited(hrana: HranaHttp) -> None:
    many = execute("SELECT 1", *[1] * 32_767)
    conditions = {"type": "or", "conds": [{"type": "ok", "step": 0}] * 10_001}
    found = hrana.run(
        {"type": "batch", "batch": STEPS},
        many,
        {"type": "batch", "batch": batch((conditions, "SELECT 1"))},
    )
    assert [error["code"] for error in found] == [
        "TOO_MANY_STATEMENTS",
        "ARGS_INVALID",
        "HRANA_INVALID_CONDITION",
    ]
    assert "10001 steps, which are more than 10000" in found[0]["message"]
    assert "32767 arguments, which are more than 32766" in found[1]["message"]


def test_steps_that_are_skipped_are_many(hrana: HranaHttp) -> None:
    steps = batch(*[(NEVER, "SELECT 1")] * 10_000)
    (found,) = hrana.run({"type": "batch", "batch": steps})
    assert found["result"]["step_results"] == [None] * 10_000


WIDE = f"SELECT {', '.join(['1'] * 1600)} WHERE 0"


@pytest.mark.parametrize("kind", ["execute", "describe", "batch"])
def test_columns_are_part_of_an_answer(hrana: HranaHttp, kind: str) -> None:
    """Statements that give no rows have some; they were free, and took any memory."""
    given: dict[str, Any] = {
        "execute": {"stmt": {"sql_id": 1}},
        "describe": {"sql_id": 1},
        "batch": {"batch": {"steps": [{"stmt": {"sql_id": 1}}]}},
    }
    asked = {"type": kind, **given[kind]}
    found: list[Any]
    stored, *found = hrana.run({"type": "store_sql", "sql_id": 1, "sql": WIDE}, *[asked] * 300)
    assert stored == {"type": "store_sql"}
    assert len(found[0].get("result", {}).get("cols", [])) in (0, 1600)
    text = str(found[-1])
    assert "RESPONSE_TOO_LARGE" in text
    assert "as large as an answer may be" in text
    assert len(str(found)) < 20_000_000


def test_a_frame_that_holds_too_much(hrana_server: LiveServer, hrana: HranaHttp) -> None:
    path = f"/database/api/dev/{hrana.tenant}"
    message = {"type": "request", "request_id": 1, "request": VALUES}
    with websocket(hrana_server, path, "hrana3") as socket:
        assert socket.ask({"type": "hello", "jwt": None}) == {"type": "hello_ok"}
        with pytest.raises(ConnectionClosed, match="holds more than 500000 values"):
            socket.ask(message)
    headers = {"x-database-namespace": hrana.tenant}
    with websocket(hrana_server, "/database/api/ws", **headers) as legacy:
        assert _code(legacy, message) == "TOO_MANY_VALUES"


def _code(socket: Socket, message: Any) -> Any:
    return socket.ask(message)["response"]["error"]["code"]
