"""What one client may take of the streams, and of their results at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.database import Socket, database_server, wait_until, websocket
from support.hrana import HranaHttp, batch
from support.live import LiveServer

ONE = {"X-Forwarded-For": "203.0.113.1"}
OTHER = {"X-Forwarded-For": "203.0.113.2"}
TOKEN = {"Authorization": "Bearer a-token-of-the-test"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    with database_server(
        tmp_path,
        token="a-token-of-the-test",
        api={"maxStreams": 6, "maxStreamsPerClient": 2, "idleTimeout": "60s"},
        tenancy={"autoCreate": True},
    ) as running:
        yield running


def opened(server: LiveServer, headers: dict[str, str], status: int = 200) -> Any:
    client = HranaHttp(server, "shared", **headers, **TOKEN)
    body = {"requests": [{"type": "get_autocommit"}]}
    answer = client.client.post(f"{client.base}/v3/pipeline", json=body)
    assert answer.status_code == status, answer.text
    client.client.close()
    if status != 200:
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["code"] == "TOO_MANY_STREAMS"
    return answer.json()


def close(server: LiveServer, baton: str) -> None:
    client = HranaHttp(server, "shared", **TOKEN)
    client.post("v3/pipeline", {"baton": baton, "requests": [{"type": "close"}]})
    client.client.close()


def test_one_client_takes_no_more_than_its_share(server: LiveServer) -> None:
    batons = [opened(server, ONE)["baton"] for _ in range(2)]
    for _ in range(3):  # what was refused takes no room
        refused = opened(server, ONE, 429)
        assert "(api.maxStreamsPerClient)" in refused["message"]
    for _ in range(2):
        opened(server, OTHER)
    # Those who cannot be told apart share what is left, which is for all.
    for _ in range(2):
        opened(server, {})
    opened(server, OTHER | {"X-Forwarded-For": "203.0.113.3"}, 503)
    close(server, batons[0])
    opened(server, ONE)


def ask(socket: Socket, kind: str, **fields: Any) -> Any:
    answer = socket.ask({"type": "request", "request_id": 1, "request": {"type": kind, **fields}})
    assert answer["type"] == "response_ok", answer
    return answer["response"]


def test_a_fetch_ends_early_where_rows_are_long(server: LiveServer) -> None:
    rows = "WITH n(i) AS (VALUES (1), (2), (3)) SELECT hex(zeroblob(200000)) FROM n"
    with websocket(server, "/database/api/dev/shared", "hrana3", **TOKEN) as socket:
        assert socket.ask({"type": "hello", "jwt": None}) == {"type": "hello_ok"}
        ask(socket, "open_stream", stream_id=1)
        ask(socket, "open_cursor", stream_id=1, cursor_id=1, batch=batch((None, rows)))
        answers = []

        def is_done() -> bool:
            answers.append(ask(socket, "fetch_cursor", cursor_id=1, max_count=1000))
            return bool(answers[-1]["done"])

        wait_until(is_done)
    lengths = [sum(entry["type"] == "row" for entry in answer["entries"]) for answer in answers]
    assert sum(lengths) == 3
    assert max(lengths) == 1
    kinds = [entry["type"] for answer in answers for entry in answer["entries"]]
    assert kinds == ["step_begin", "row", "row", "row", "step_end"]
