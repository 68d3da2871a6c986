"""Many streams at once, and the end of the server."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.database import Api, database_server, websocket
from support.hrana import HranaHttp, OpenHrana, execute, stmt

pytestmark = pytest.mark.slow

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
WORKERS = 8
TURNS = 5


def transfer(client: HranaHttp, source: int, target: int) -> None:
    """Move one from here to there, in a transaction of several requests."""
    _, baton = client.pipeline(execute("BEGIN IMMEDIATE"))
    (found,), baton = client.pipeline(
        execute("SELECT amount FROM accounts WHERE id = ?", source), baton=baton
    )
    amount = int(found["result"]["rows"][0][0]["value"])
    update = "UPDATE accounts SET amount = ? WHERE id = ?"
    add = "UPDATE accounts SET amount = amount + 1 WHERE id = ?"
    results = client.run(
        execute(update, amount - 1, source), execute(add, target), execute("COMMIT"), baton=baton
    )
    assert all("code" not in result for result in results), results


def test_transactions_of_many_clients_do_not_mix(hrana: HranaHttp, open_hrana: OpenHrana) -> None:
    hrana.run(
        execute("CREATE TABLE accounts (id INTEGER PRIMARY KEY, amount INTEGER)"),
        execute("INSERT INTO accounts VALUES (0, 100), (1, 100), (2, 100)"),
    )
    clients = [open_hrana(hrana.tenant) for _ in range(WORKERS)]

    def work(number: int) -> None:
        for turn in range(TURNS):
            transfer(clients[number], (number + turn) % 3, (number + turn + 1) % 3)

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(work, range(WORKERS)))
    amounts = [amount for (amount,) in hrana.rows("SELECT amount FROM accounts ORDER BY id")]
    expected = [100, 100, 100]
    for number in range(WORKERS):
        for turn in range(TURNS):
            expected[(number + turn) % 3] -= 1
            expected[(number + turn + 1) % 3] += 1
    assert amounts == expected


def test_the_server_ends_quickly_and_keeps_what_was_committed(tmp_path: Path) -> None:
    with database_server(tmp_path, api={"write": True, "statementTimeout": "60s"}) as server:
        with Api(server) as api:
            api.sql("CREATE TABLE t (x)")
            api.sql("INSERT INTO t VALUES (1)")
            api.post("v2/pipeline", {"requests": [execute("BEGIN")]})
            api.post(
                "v2/pipeline",
                {"requests": [execute("BEGIN IMMEDIATE"), execute("INSERT INTO t VALUES (2)")]},
            )
        with websocket(server, "/database/api", "hrana3") as socket:
            opening = {"type": "open_stream", "stream_id": 1}
            socket.ask({"type": "request", "request_id": 1, "request": opening})
            running = {"type": "execute", "stream_id": 1, "stmt": stmt(ENDLESS)}
            socket.send({"type": "request", "request_id": 2, "request": running})
            assert server.stop() == 0  # which waits for less than the statement may take
        assert "error" not in {line.split('"level":"')[-1].split('"')[0] for line in server.lines}
    with database_server(tmp_path) as server, Api(server) as api:
        assert api.rows("SELECT x FROM t") == [[1]]
