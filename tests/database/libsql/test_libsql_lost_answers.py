"""A commit whose request or answer is lost on the way, and finding out what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_database import (
    Batch,
    DatabaseUnavailable,
    Guard,
    GuardFailed,
    OutcomeUnknown,
    Statement,
)
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.shared import witness
from database.libsql.support import lose_answers
from support.losing import Losing, losing_proxy
from support.sqld import Sqld, running_sqld
from support.waiting import PATIENCE

OpenLibsql = Callable[..., LibsqlAdapter]
ADD = "UPDATE lost_counter SET n = n + 1"
N = "SELECT n FROM lost_counter"


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Sqld]:
    """A server that a test may stop."""
    with running_sqld(tmp_path) as (server,):
        yield server


@pytest.fixture
def losing(pair: list[Sqld]) -> Iterator[tuple[Losing, str]]:
    with losing_proxy(pair[0].url) as (proxy, url):
        yield proxy, url


@pytest.fixture
def proxy(losing: tuple[Losing, str]) -> Losing:
    return losing[0]


@pytest.fixture
async def adapter(losing: tuple[Losing, str], open_libsql: OpenLibsql) -> LibsqlAdapter:
    """Its way to the server may lose things; nobody answers for longer than two seconds."""
    adapter = open_libsql(losing[1], timeout_seconds=2.0)
    await adapter.execute("CREATE TABLE lost_counter (n INTEGER)")
    await adapter.execute("INSERT INTO lost_counter VALUES (0)")
    return adapter


async def count(adapter: LibsqlAdapter) -> Any:
    ((number,),) = await adapter.query(N, fresh=True)
    return number


async def more_than(number: Callable[[], int], wanted: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while number() <= wanted:  # noqa: ASYNC110 - nobody could set an event
            await asyncio.sleep(0.01)


async def test_a_lost_answer_is_told_again(adapter: LibsqlAdapter, proxy: Losing) -> None:
    proxy.lose_answer("lost_counter")
    result = await adapter.execute_result("INSERT INTO lost_counter SELECT 7 UNION SELECT 8")
    assert (result.rowcount, result.lastrowid) == (2, 3)
    proxy.lose_answer("lost_counter")
    assert (await adapter.execute_result("DELETE FROM lost_counter WHERE n > 0")).rowcount == 2
    assert await adapter.query(N, fresh=True) == [(0,)]


async def test_a_lost_request_is_sent_again(adapter: LibsqlAdapter, proxy: Losing) -> None:
    proxy.lose_request("lost_counter")
    assert (await adapter.execute_result(ADD)).rowcount == 1
    assert await count(adapter) == 1


async def test_a_request_that_comes_late_does_nothing(
    adapter: LibsqlAdapter, proxy: Losing
) -> None:
    """It was asked for, found missing and sent again; then the first one reaches the server."""
    proxy.hold_request("lost_counter")
    assert (await adapter.execute_result(ADD)).rowcount == 1
    await asyncio.to_thread(proxy.release)
    assert await count(adapter) == 1
    await adapter.execute(ADD)
    assert await count(adapter) == 2


async def test_a_request_that_somebody_repeats_is_carried_out_once(
    open_libsql: OpenLibsql, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = open_libsql(urls[0])
    await adapter.execute("CREATE TABLE lost_counter (n INTEGER)")
    await adapter.execute("INSERT INTO lost_counter VALUES (0)")
    transport = adapter._servers.primary.transport
    send = transport.batch

    async def send_twice(steps: list[dict[str, Any]]) -> dict[str, Any]:
        answer = await send(steps)
        await send(steps)
        return answer

    monkeypatch.setattr(transport, "batch", send_twice)
    for number in range(1, 4):
        await adapter.execute(ADD)
        assert await count(adapter) == number


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_only_a_server_that_stays_away_leaves_it_unknown(
    adapter: LibsqlAdapter, proxy: Losing, lost: str
) -> None:
    lose = proxy.lose_request if lost == "request" else proxy.lose_answer
    lose("lost_counter", then_away=True)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="may have been carried out"):
        await adapter.execute(ADD)
    assert time.monotonic() - started >= 2
    proxy.come_back()
    assert await count(adapter) == (lost == "answer")
    await adapter.execute(ADD)
    assert await count(adapter) == 1 + (lost == "answer")


async def test_who_waits_behind_a_lost_server_is_told_at_once(
    pair: list[Sqld], adapter: LibsqlAdapter, losing: tuple[Losing, str]
) -> None:
    """They were not sent, so that much is certain."""
    proxy, _ = losing
    proxy.lose_answer("lost_counter", then_refusing=True)
    first = asyncio.create_task(adapter.execute(ADD))
    assert await asyncio.to_thread(proxy.hit.wait, PATIENCE)
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        await adapter.execute("DELETE FROM lost_counter")
    assert not first.done()
    with pytest.raises(OutcomeUnknown):
        await first


async def test_the_answer_to_the_question_is_lost_too(
    adapter: LibsqlAdapter, proxy: Losing
) -> None:
    proxy.lose_answer("lost_counter", then_answers=3)
    assert (await adapter.execute_result(ADD)).rowcount == 1
    assert await count(adapter) == 1


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_group_gets_its_own_outcomes_again(
    open_libsql: OpenLibsql, urls: list[str], scheme: str
) -> None:
    """Those that failed are found out anew, since nothing of them was written."""
    adapter = open_libsql(urls[0].replace("http", scheme))
    await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    lose_answers(adapter)
    for first in (0, 100, 200):  # without savepoints, with them, and once more
        batches = [
            Batch([Statement("INSERT INTO t VALUES (?)", (first + n,)), Guard("? % 5", (n,))], True)
            for n in range(20)
        ]
        outcomes = await adapter.batch_each(batches)
        failed = [n for n, outcome in enumerate(outcomes) if isinstance(outcome, GuardFailed)]
        assert failed == [0, 5, 10, 15]
        for n, outcome in enumerate(outcomes):
            assert n in failed or (isinstance(outcome, list) and outcome[0].lastrowid == first + n)
    ((number,),) = await adapter.query("SELECT count(*) FROM t", fresh=True)
    assert number == 3 * 16


async def test_the_tables_are_made_again_if_somebody_drops_them(adapter: LibsqlAdapter) -> None:
    for table in (witness.RESULTS, witness.WRITERS):
        await adapter.batch_each([Batch([Statement(f"DROP TABLE {table}")], wanted=())])
        assert (await adapter.execute_result(ADD)).rowcount == 1
    assert await count(adapter) == 2


async def test_writers_that_are_gone_leave_nothing_for_ever(
    open_libsql: OpenLibsql, urls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = open_libsql(urls[0])
    await first.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    monkeypatch.setattr(witness, "KEPT_MS", 0)
    await asyncio.sleep(0.002)
    second = open_libsql(urls[0])
    await second.execute("INSERT INTO t VALUES (1)")
    for table in (witness.WRITERS, witness.RESULTS):
        rows = await second.query(f"SELECT DISTINCT writer FROM {table}", fresh=True)
        assert len(rows) == 1
    assert (await first.execute_result("INSERT INTO t VALUES (2)")).rowcount == 1


async def test_counters_are_exact_when_the_server_is_stopped_for_a_while(
    own_server: Sqld,
) -> None:
    """Stopped for longer than an operation may take: every answer is true, whatever it is."""
    adapters = [
        LibsqlAdapter([own_server.url], options=LibsqlOptions(timeout_seconds=1.0))
        for _ in range(2)
    ]
    counts = {"written": 0, "not written": 0}
    stop = asyncio.Event()

    async def add(adapter: LibsqlAdapter) -> None:
        while not stop.is_set():
            try:
                await adapter.execute(ADD)
                counts["written"] += 1
            except DatabaseUnavailable:
                counts["not written"] += 1

    try:
        await adapters[0].execute("CREATE TABLE lost_counter (n INTEGER)")
        await adapters[0].execute("INSERT INTO lost_counter VALUES (0)")
        tasks = [asyncio.create_task(add(adapter)) for adapter in adapters for _ in range(4)]
        for _ in range(2):
            await more_than(lambda: counts["written"], counts["written"] + 20)
            own_server.pause()
            await asyncio.sleep(1.4)
            own_server.resume()
        await more_than(lambda: counts["written"], counts["written"] + 20)
        stop.set()
        await asyncio.gather(*tasks)  # none of them is an OutcomeUnknown
        assert await count(adapters[0]) == counts["written"]
    finally:
        for adapter in adapters:
            await adapter.close()
