"""Large results are in hand in turn, and a batch is no larger than a statement."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from buntime_database import Column, MoreThanAsked, SessionResult
from buntime_plugin_database.faces import large
from buntime_plugin_database.faces.http.values import member_names
from support import hungry
from support.database import Api, database_server
from support.live import LiveServer

pytestmark = pytest.mark.slow

LARGE = "SELECT hex(zeroblob(4500000))"
RETURNING = "INSERT INTO t VALUES (1) RETURNING hex(zeroblob(4500000))"
STORED = "INSERT INTO t SELECT hex(zeroblob(4500000)) RETURNING x"
MANY = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100) {LARGE} FROM n"
CLIENTS = 80


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server of its own: memory that was used once stays with a process."""
    with database_server(tmp_path, api={"write": True, "statementTimeout": "20s"}) as running:
        yield running
        running.kill()  # it would wait for those who never read


@pytest.mark.skipif(sys.platform != "linux", reason="memory is told by Linux alone")
@pytest.mark.parametrize(
    ("path", "sql"),
    [
        ("query", LARGE),
        ("v2/pipeline", LARGE),
        ("v3/cursor", LARGE),
        ("v3/cursor", MANY),
        ("execute", RETURNING),
        ("execute", STORED),
        ("batch", LARGE),
        ("batch", RETURNING),
        ("v2/pipeline", RETURNING),
    ],
)
def test_who_never_reads_takes_little_memory(server: LiveServer, path: str, sql: str) -> None:
    stmt = {"sql": sql}
    body = {
        "query": stmt,
        "execute": stmt,
        "batch": {"statements": [stmt]},
        "v2/pipeline": {"requests": [{"type": "execute", "stmt": stmt}, {"type": "close"}]},
        "v3/cursor": {"batch": {"steps": [{"stmt": stmt}]}},
    }[path]
    content = json.dumps(body)
    request = (
        f"POST /database/api/{path} HTTP/1.1\r\nHost: {urlsplit(server.url).netloc}\r\n"
        f"Content-Length: {len(content)}\r\n\r\n{content}"
    ).encode()
    with Api(server) as api:
        api.sql("CREATE TABLE t (x)")
        hungry.assert_frugal(server, [request] * CLIENTS, lambda: api.rows("SELECT 1"))


def test_all_who_read_with_cursors_get_theirs(server: LiveServer) -> None:
    """Also those of whom each has more large rows than there are turns."""
    sql = MANY.replace("100", "5")
    found: list[list[int]] = []

    def ask() -> None:
        with Api(server) as api:
            body = {"batch": {"steps": [{"stmt": {"sql": sql}}]}}
            answer = api.client.post(f"{api.base}/v3/cursor", json=body)
            lines = [json.loads(line) for line in answer.text.splitlines()]
            rows = [line["row"][0]["value"] for line in lines if line.get("type") == "row"]
            assert lines[-1]["type"] == "step_end"
            found.append([len(row) for row in rows])

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[9_000_000] * 5] * 6


def test_all_who_read_get_theirs(server: LiveServer) -> None:
    sizes: list[int] = []

    def ask() -> None:
        with Api(server) as api:
            (row,) = api.rows(LARGE)
            sizes.append(len(row[0]))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == [9_000_000] * 8


def test_what_is_written_is_written_once(server: LiveServer) -> None:
    with Api(server) as api:
        api.sql("CREATE TABLE t (x)")
        insert = "INSERT INTO t SELECT hex(zeroblob(300000)) RETURNING x"
        assert len(api.sql(insert)["rows"][0]["x"]) == 600_000
        assert api.rows("SELECT count(*), sum(length(x)) FROM t") == [[1, 600_000]]
        assert [len(row[0]) for row in api.rows("SELECT x FROM t")] == [600_000]
        (result,) = api.post("batch", {"statements": [{"sql": insert}]})["results"]
        assert len(result["rows"][0]["x"]) == 600_000
        assert api.rows("SELECT count(*) FROM t") == [[2]]
        api.sql("DELETE FROM t WHERE rowid = 2")
        argument = "y" * 600_000
        assert api.rows("SELECT length(?)", argument) == [[600_000]]


def test_results_of_a_batch_count_together(server: LiveServer) -> None:
    with Api(server) as api:
        api.sql("CREATE TABLE t (x)")
        statements = [{"sql": "INSERT INTO t VALUES (1)"}, {"sql": LARGE}, {"sql": LARGE}]
        refused = api.post("batch", {"statements": statements}, status=400)
        assert refused["code"] == "RESPONSE_TOO_LARGE"
        assert "statement 2" in refused["error"]
        assert api.rows("SELECT count(*) FROM t") == [[0]]


def test_columns_of_a_batch_count(server: LiveServer) -> None:
    """Of statements that give no rows, too."""
    wide = {"sql": f"SELECT {', '.join(['1'] * 1600)} WHERE 0"}
    with Api(server) as api:
        assert len(api.post("batch", {"statements": [wide] * 20})["results"]) == 20
        refused = api.post("batch", {"statements": [wide] * 300}, status=400)
        assert refused["code"] == "RESPONSE_TOO_LARGE"


async def test_who_has_the_lock_waits_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large, "LOCKED_SECONDS", 0.05)
    results = large.LargeResults(seconds=3600)
    runs: list[int | None] = []

    async def execute(most: int | None) -> SessionResult:
        runs.append(most)
        if most is not None:
            raise MoreThanAsked("much")
        return SessionResult((), [], 0, None, size=10**7)

    others = [results.hand() for _ in range(large.MOST_IN_HAND)]
    for other in others:
        await other.run(execute, lambda: True)  # there is room
    hand = results.hand()
    with pytest.raises(large.TooManyLargeResults):
        await hand.run(execute, lambda: True)
    assert runs[-1] is not None, "it was not run again"
    waiting = asyncio.create_task(hand.run(execute, lambda: False))
    others[0].empty()
    assert (await waiting).size == 10**7


def test_a_large_result_in_a_transaction(server: LiveServer) -> None:
    with Api(server) as api:
        statements = ("BEGIN IMMEDIATE", LARGE, "INSERT INTO t VALUES (1)", "COMMIT")
        api.sql("CREATE TABLE t (x)")
        requests = [{"type": "execute", "stmt": {"sql": sql}} for sql in statements]
        found = api.post("v2/pipeline", {"requests": requests})["results"]
        assert [one["type"] for one in found] == ["ok"] * 4
        assert api.rows("SELECT x FROM t") == [[1]]


def test_many_columns_of_one_name_take_no_long() -> None:
    """Each has a name of its own; that was found by trying them all, on the event loop."""

    def seconds(count: int) -> float:
        columns = (Column("1", None),) * count
        began = time.thread_time()
        for _ in range(5):
            names = member_names(columns)
        assert names == ["1", *(f"1:{number}" for number in range(1, count))]
        return time.thread_time() - began

    # Four times as many would take sixteen times as long.
    assert seconds(8_000) < 10 * seconds(2_000)
    named = tuple(Column(name, None) for name in ("a:1", "a", "a", "a", "a:1", "b"))
    assert member_names(named) == ["a:1", "a", "a:2", "a:3", "a:1:1", "b"]


def test_a_statement_that_gives_rows_is_a_transaction_as_any(server: LiveServer) -> None:
    """Although it is undone where it gives much: what failed leaves what it would leave."""
    with Api(server) as api:
        api.sql("CREATE TABLE u (x INTEGER PRIMARY KEY, y REFERENCES u DEFERRABLE)")
        api.sql("INSERT INTO u (x) VALUES (3)")
        for conflict, left in [("ABORT", [3]), ("ROLLBACK", [3]), ("FAIL", [1, 3])]:
            sql = f"INSERT OR {conflict} INTO u (x) VALUES (1), (3), (4) RETURNING x"
            api.post("execute", {"sql": sql}, status=409)
            assert [row[0] for row in api.rows("SELECT x FROM u ORDER BY x")] == left
        api.post("execute", {"sql": "INSERT INTO u VALUES (9, 99) RETURNING x"}, status=409)
        assert api.sql("INSERT INTO u (x) VALUES (9) RETURNING x")["rows"] == [{"x": 9}]
        removed = api.sql("WITH n AS (SELECT 9) DELETE FROM u WHERE x = 9 RETURNING x")
        assert removed["rowsAffected"] == 1
