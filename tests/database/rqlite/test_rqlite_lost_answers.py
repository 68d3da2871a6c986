"""A commit whose request or answer is lost on the way, and finding out what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from buntime_database import Batch, DatabaseUnavailable, Guard, GuardFailed, OutcomeUnknown
from buntime_database import Statement as Step
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from database.rqlite.conftest import OpenRqlite
from support.losing import Losing, losing_proxy
from support.rqlite import Rqlited

ADD = "UPDATE lost_counter SET n = n + 1"


@pytest.fixture
def losing(node: Rqlited) -> Iterator[tuple[Losing, str]]:
    with losing_proxy(node.url, b"buntime_writers VALUES") as (proxy, url):
        yield proxy, url


@pytest.fixture
def proxy(losing: tuple[Losing, str]) -> Losing:
    return losing[0]


@pytest.fixture
async def adapter(losing: tuple[Losing, str], open_rqlite: OpenRqlite) -> RqliteAdapter:
    """Its way to the node may lose things.

    What is away is waited for 4 seconds: on a busy machine a node takes more than one for a write.
    """
    adapter = open_rqlite(losing[1], timeout_seconds=4.0)
    adapter._nodes._find_again_at = float("inf")  # or it would find a way past the proxy
    await adapter.execute("CREATE TABLE lost_counter (n INTEGER)")
    await adapter.execute("INSERT INTO lost_counter VALUES (0)")
    return adapter


async def count(adapter: RqliteAdapter) -> Any:
    ((number,),) = await adapter.query("SELECT n FROM lost_counter", fresh=True)
    return number


async def test_a_lost_answer_is_told_again(adapter: RqliteAdapter, proxy: Losing) -> None:
    proxy.lose_answer("lost_counter")
    result = await adapter.execute_result("INSERT INTO lost_counter SELECT 7 UNION SELECT 8")
    assert (result.rowcount, result.lastrowid) == (2, 3)
    proxy.lose_answer("lost_counter")
    assert (await adapter.execute_result("DELETE FROM lost_counter WHERE n > 0")).rowcount == 2
    assert await count(adapter) == 0


async def test_a_lost_request_is_sent_again(adapter: RqliteAdapter, proxy: Losing) -> None:
    proxy.lose_request("lost_counter")
    assert (await adapter.execute_result(ADD)).rowcount == 1
    assert await count(adapter) == 1


async def test_a_request_that_comes_late_does_nothing(
    adapter: RqliteAdapter, proxy: Losing
) -> None:
    """It was asked for, found missing and sent again; then the first one reaches the node."""
    proxy.hold_request("lost_counter")
    assert (await adapter.execute_result(ADD)).rowcount == 1
    await asyncio.to_thread(proxy.release)
    assert await count(adapter) == 1
    await adapter.execute(ADD)
    assert await count(adapter) == 2


async def test_a_request_that_somebody_repeats_is_carried_out_once(
    adapter: RqliteAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node does that was asked, and says that another one leads."""
    ask = adapter._nodes._ask_once

    async def ask_twice(url: str, path: str, *rest: Any, **options: Any) -> Any:
        answer = await ask(url, path, *rest, **options)
        return await ask(url, path, *rest, **options) if "transaction" in path else answer

    monkeypatch.setattr(adapter._nodes, "_ask_once", ask_twice)
    for number in range(1, 4):
        assert (await adapter.execute_result(ADD)).rowcount == 1
        assert await count(adapter) == number


async def test_a_group_that_was_lost_before_its_failure_was_told(
    adapter: RqliteAdapter, proxy: Losing
) -> None:
    """It may fail at first, be told so, and hold when it comes late: the fence is in its way."""
    await adapter.execute("UPDATE lost_counter SET n = 5")
    proxy.hold_request("lost_counter")
    batch = Batch([Guard("(SELECT n FROM lost_counter) = 0"), Step(ADD)])
    with pytest.raises(GuardFailed):
        await adapter.batch(batch.steps)
    await adapter.execute("UPDATE lost_counter SET n = 0")
    await asyncio.to_thread(proxy.release)
    assert await count(adapter) == 0


@pytest.mark.parametrize("lost", ["request", "answer"])
async def test_only_a_cluster_that_stays_away_leaves_it_unknown(
    adapter: RqliteAdapter, proxy: Losing, lost: str
) -> None:
    lose = proxy.lose_request if lost == "request" else proxy.lose_answer
    lose("lost_counter", then_away=True)
    with pytest.raises(OutcomeUnknown, match="may have been carried out"):
        await adapter.execute(ADD)
    with pytest.raises(DatabaseUnavailable):
        await adapter.query("SELECT 1")
    proxy.come_back()
    assert await count(adapter) == (lost == "answer")
    await adapter.execute(ADD)
    assert await count(adapter) == 1 + (lost == "answer")


async def test_writers_that_are_gone_are_forgotten(
    open_rqlite: OpenRqlite, node: Rqlited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a read of one that was forgotten still shows all."""
    gone = open_rqlite()
    await gone.execute("CREATE TABLE lost_counter (n INTEGER)")
    node.run("DELETE FROM buntime_writers", "DELETE FROM buntime_results")
    assert await gone.query("SELECT n FROM lost_counter") == []
    node.run("DROP TABLE buntime_writers", "DROP TABLE buntime_guards")
    await gone.batch([Guard("1"), Step("INSERT INTO lost_counter VALUES (1)")])
    assert await gone.query("SELECT n FROM lost_counter") == [(1,)]
