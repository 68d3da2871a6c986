"""Words between processes: heard by others, in a pace, and again after a connection broke."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator

import asyncpg
import pytest
from buntime_plugin_database.engines.postgres import bells
from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter
from database.postgres.support import make_adapter, new_schema
from support.pgbouncer import running_pgbouncer
from support.postgres import Postgres
from support.waiting import PATIENCE, until

HAS_LOOKED = """
SELECT EXISTS (
  SELECT FROM pg_stat_activity
  WHERE datname = current_database() AND application_name = 'buntime bells' AND state = 'idle'
    AND query LIKE '%pg_stat_activity%')"""


class Ear:
    """Counts what it hears."""

    def __init__(self) -> None:
        self.heard = 0

    def __call__(self) -> None:
        self.heard += 1


@pytest.fixture
async def two(postgres: Postgres) -> AsyncIterator[tuple[PostgresAdapter, PostgresAdapter]]:
    """Adapters of two hosts on one schema."""
    schema = new_schema()
    pair = make_adapter(postgres.url, schema=schema), make_adapter(postgres.url, schema=schema)
    yield pair
    for adapter in pair:
        await adapter.close()


async def listening(adapter: PostgresAdapter, *ears: Ear) -> None:
    """Wait until the connection is there, of which each ear hears."""
    for number, ear in enumerate(ears):
        adapter.hear(str(number), ear)
    await until(lambda: all(ear.heard for ear in ears))
    for ear in ears:
        ear.heard = 0


async def test_others_hear_what_is_rung(
    two: tuple[PostgresAdapter, PostgresAdapter], postgres: Postgres
) -> None:
    one, other = two
    stranger = make_adapter(postgres.url)
    mine, theirs, another, strange = Ear(), Ear(), Ear(), Ear()
    await listening(one, mine)
    await listening(other, theirs, another)
    await listening(stranger, strange)
    one.ring("0")
    await until(lambda: theirs.heard)
    other.ring("0")
    await until(lambda: mine.heard)
    assert (mine.heard, theirs.heard, another.heard, strange.heard) == (1, 1, 0, 0)
    other.hear("0", None)
    one.ring("0")
    one.ring("1")
    await until(lambda: another.heard)
    assert theirs.heard == 1
    await stranger.close()


async def test_what_is_rung_all_the_time_is_heard_in_a_pace(
    two: tuple[PostgresAdapter, PostgresAdapter], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bells, "PACE_SECONDS", 0.2)
    one, other = two
    ear = Ear()
    await listening(other, ear)
    loop = asyncio.get_running_loop()
    began = loop.time()
    rung = 0
    while ear.heard < 3:
        one.ring("0")
        rung += 1
        await asyncio.sleep(0)
    assert loop.time() - began >= 2 * 0.2 - 0.05
    assert rung > 10 * ear.heard


async def test_who_is_alone_says_nothing_until_another_one_comes(postgres: Postgres) -> None:
    url = postgres.url_of(postgres.create_database())  # where nobody else is connected
    schema = new_schema()
    one, other = make_adapter(url, schema=schema), make_adapter(url, schema=schema)
    mine, theirs = Ear(), Ear()
    said: list[str] = []
    listener = await asyncpg.connect(url)
    await listener.add_listener(f"buntime {schema}", lambda *heard: said.append(heard[-1]))
    await listening(one, mine)
    one.ring("0")
    async with asyncio.timeout(PATIENCE):
        while not await listener.fetchval(HAS_LOOKED):
            pass
    await listening(other, theirs)
    other.ring("0")
    await until(lambda: mine.heard)
    one.ring("0")
    await until(lambda: theirs.heard)
    await until(lambda: len(said) >= 4)
    assert said == ["", "", "0", "0"]  # each says that it is there, as it comes
    for each in (one, other, listener):
        await each.close()


async def test_a_connection_that_breaks_is_made_anew(
    two: tuple[PostgresAdapter, PostgresAdapter],
    postgres: Postgres,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At once: nobody waits until it is asked whether it is there."""
    monkeypatch.setattr(bells, "ALIVE_SECONDS", 10 * PATIENCE)
    monkeypatch.setattr(bells, "QUIET_SECONDS", 0)
    one, other = two
    ear = Ear()
    await listening(other, ear)
    admin = await asyncpg.connect(postgres.url)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="plugin:@buntime/plugin-database"):
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'buntime bells'"
        )
        await until(lambda: ear.heard)  # there it is again
    await admin.close()
    assert "not heard" in caplog.messages[0]
    assert "heard again" in caplog.messages[1]
    ear.heard = 0
    one.ring("0")
    await until(lambda: ear.heard)


async def test_behind_a_pooler_they_need_a_way_past_it(postgres: Postgres) -> None:
    with running_pgbouncer(postgres) as url:
        schema = new_schema()
        silent = make_adapter(url, statement_cache=0, schema=schema)
        assert not silent.capabilities.bells
        silent.ring("0")
        ways = {"statement_cache": 0, "listen_url": postgres.url, "schema": schema}
        one, other = make_adapter(url, **ways), make_adapter(url, **ways)
        assert one.capabilities.bells
        ear = Ear()
        await listening(other, ear)
        one.ring("0")
        await until(lambda: ear.heard)
        for adapter in (silent, one, other):
            await adapter.close()


async def test_who_closes_while_it_connects_leaves_nothing_behind(postgres: Postgres) -> None:
    """An error that nobody fetches would fail the test, as one of the loop."""
    for turns in range(12):
        adapter = make_adapter(postgres.url)
        adapter.ring("0")
        reading = asyncio.create_task(adapter.query("SELECT 1"))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        await adapter.close()
        await asyncio.wait([reading])
    gc.collect()
