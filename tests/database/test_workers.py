"""The database API and Hrana on several workers: a client need not know which one answers."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from support.database import database_server
from support.hrana import HranaHttp, execute
from support.live import LiveServer
from support.workers import client_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    folder = tmp_path_factory.mktemp("workers")
    with database_server(
        folder, workers=2, token="secret", tenancy={"autoCreate": True}
    ) as running:
        yield running


def hrana_of(server: LiveServer, worker: int, tenant: str) -> Iterator[HranaHttp]:
    hrana = HranaHttp(server, tenant)
    hrana.client.close()
    with client_of(server, worker) as client:
        client.headers.update({"x-database-namespace": tenant, "authorization": "Bearer secret"})
        hrana.client = client
        yield hrana


@pytest.fixture
def one(server: LiveServer, request: pytest.FixtureRequest) -> Iterator[HranaHttp]:
    """Hrana from the first worker, on an empty database."""
    yield from hrana_of(server, 0, request.node.name.replace("[", "-").strip("]"))


@pytest.fixture
def two(server: LiveServer, one: HranaHttp) -> Iterator[HranaHttp]:
    """Hrana from the second worker, on the same."""
    yield from hrana_of(server, 1, one.tenant)


def test_a_transaction_goes_on_in_whichever_worker(one: HranaHttp, two: HranaHttp) -> None:
    (first, *_), baton = one.pipeline(execute("BEGIN"), execute("CREATE TABLE t (x)"))
    assert "result" in first
    for number in range(6):
        worker = (two, one)[number % 2]
        (result,), baton = worker.pipeline(execute("INSERT INTO t VALUES (?)", number), baton=baton)
        assert result["result"]["affected_row_count"] == 1
    assert two.run(execute("COMMIT"), baton=baton)[0]["type"] == "execute"
    assert one.rows("SELECT count(*) FROM t") == two.rows("SELECT count(*) FROM t") == [[6]]


def test_the_dialect_and_cursors_too(one: HranaHttp, two: HranaHttp) -> None:
    (_, _), baton = one.legacy(execute("BEGIN"), execute("CREATE TABLE t AS SELECT 1 AS x"))
    assert baton is not None
    _, baton = two.legacy(execute("INSERT INTO t VALUES (2)"), baton=baton)
    answer = two.client.post(
        f"{two.base}/v3/cursor",
        json={"baton": baton, "batch": {"steps": [{"stmt": {"sql": "SELECT x FROM t"}}]}},
    )
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert len(answer.headers.get_list("date")) == len(answer.headers.get_list("x-request-id")) == 1
    assert answer.text.count('"type":"row"') == 2


def test_a_large_answer_of_another_worker(one: HranaHttp, two: HranaHttp) -> None:
    _, baton = one.pipeline(execute("SELECT 1"))
    many = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 900)"
    sql = f"{many} SELECT printf('%.*c', 1000, 'x') FROM n"
    ((result), *_), baton = two.pipeline(execute(sql), baton=baton)
    assert len(result["result"]["rows"]) == 900


def test_errors_of_another_worker(one: HranaHttp, two: HranaHttp) -> None:
    _, first = one.pipeline(execute("SELECT 1"))
    (failed,), second = two.pipeline(execute("SELEC 1"), baton=first)
    assert "syntax error" in failed["message"]
    assert two.post("v3/pipeline", {"baton": first, "requests": []}, 400)["code"] == "BATON_INVALID"
    two.client.headers["authorization"] = "Bearer wrong"
    assert two.post("v3/pipeline", {"baton": second, "requests": []}, 401)


def test_a_baton_of_a_worker_that_died(one: HranaHttp, two: HranaHttp, server: LiveServer) -> None:
    _, baton = two.pipeline(execute("BEGIN"), execute("CREATE TABLE t (x)"))
    assert baton is not None
    os.kill(server.worker_pids()[1], signal.SIGKILL)
    server.wait_for_output("is back")
    answer: dict[str, Any] = one.post("v3/pipeline", {"baton": baton, "requests": []}, 400)
    assert answer["code"] == "BATON_INVALID"
    assert one.rows("SELECT count(*) FROM sqlite_schema") == [[0]]


def test_tenants_come_and_go_in_all_workers(one: HranaHttp, two: HranaHttp) -> None:
    for round_ in range(5):
        writer, other = (one, two) if round_ % 2 else (two, one)
        assert writer.run(execute("CREATE TABLE t (x)"))[0]["type"] == "execute"
        other.run(execute("INSERT INTO t VALUES (?)", round_))
        assert writer.rows("SELECT x FROM t") == [[round_]]
        answer = other.client.delete(f"{other.base}/tenants/{other.tenant}")
        assert answer.json() == {"ok": True, "deleted": True}
