"""A commit of a store, or its answer, is lost on the way to a server that is no libSQL server.

What hosts on libSQL servers say then is seen in `libsql/test_lost_answers.py`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import pytest
from buntime_keyval import AsyncTransaction, OutcomeUnknown
from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter, PostgresServer
from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.rqlite.options import RqliteOptions
from keyval.libsql.support import open_server_world
from keyval.rqlite.support import empty
from keyval.service.world import World
from support.cutting import Fate, cutting_link
from support.losing import losing_proxy
from support.postgres import Postgres
from support.rqlite import Rqlited

pytestmark = pytest.mark.slow

TIMEOUT_SECONDS = 1.0
"""For how long nobody may answer."""

COMMITS = b"buntime_writers VALUES"
"""What commits to a node of rqlite hold, and reads do not."""


class Way(NamedTuple):
    """A store, and the way to its server."""

    world: World
    lose: Callable[[Fate], None]
    """Loses what is said of the next commit; nothing passes any more after that."""
    come_back: Callable[[], None]
    """Lets everything pass again."""


@asynccontextmanager
async def to_rqlite(node: Rqlited) -> AsyncIterator[Way]:
    empty(node)
    with losing_proxy(node.url, COMMITS) as (proxy, url):
        adapter = RqliteAdapter([url], options=RqliteOptions(timeout_seconds=TIMEOUT_SECONDS))
        adapter._nodes._find_again_at = float("inf")  # or it would find a way past the proxy

        def lose(fate: Fate) -> None:
            lost = proxy.lose_answer if fate == "answer lost" else proxy.lose_request
            lost("", then_away=True)

        async with open_server_world(adapter, None) as world:
            yield Way(world, lose, proxy.come_back)


@asynccontextmanager
async def to_postgres(server: Postgres) -> AsyncIterator[Way]:
    url = server.url_of(server.create_database())
    async with cutting_link(server.port) as (cutting, port):
        options = PostgresOptions(pool_size=6, timeout_seconds=TIMEOUT_SECONDS)
        way = url.replace(f":{server.port}/", f":{port}/")
        cutting.away_after_cut = True

        def lose(fate: Fate) -> None:
            cutting.fate = fate

        def come_back() -> None:
            cutting.is_away, cutting.fate = False, "passes"

        async with open_server_world(PostgresAdapter(PostgresServer(way, options)), None) as world:
            yield Way(world, lose, come_back)


@pytest.fixture(params=["rqlite", "postgres"])
async def way(request: pytest.FixtureRequest) -> AsyncIterator[Way]:
    if request.param == "rqlite":
        opened = to_rqlite(request.getfixturevalue("database_servers").node_of_worlds)
    else:
        opened = to_postgres(request.getfixturevalue("postgres"))
    async with opened as found:
        yield found


async def test_what_is_not_known_is_said_so_and_a_key_resolves_it(way: Way) -> None:
    """Whether the commit was lost or its answer, it is done once in the end."""
    kv = way.world.kv
    fates: list[Fate] = ["request lost", "answer lost"]
    for number, fate in enumerate(fates):
        adding, sending = (f"{what}-{number}" for what in ("add", "send"))
        way.lose(fate)
        with pytest.raises(OutcomeUnknown) as unknown:
            await kv.atomic().sum(["n"], 1).commit(idempotency_key=adding)
        assert unknown.value.code == "KEYVAL_OUTCOME_UNKNOWN"
        way.come_back()
        is_there = fate == "answer lost"
        assert ((await kv.get(["n"])).value or 0) == number + is_there
        await kv.atomic().sum(["n"], 1).commit(idempotency_key=adding)
        assert (await kv.get(["n"])).value == number + 1
        way.lose(fate)
        with pytest.raises(OutcomeUnknown):
            await kv.enqueue(sending, idempotency_key=sending)
        way.come_back()
        await kv.enqueue(sending, idempotency_key=sending)
        assert (await kv.queue_stats()).pending == number + 1


@pytest.mark.parametrize("way", ["rqlite"], indirect=True)
async def test_a_transaction_is_not_run_again(way: Way) -> None:
    """What is not known is no conflict.

    On PostgreSQL such a commit is a call that is made until there is an answer.
    """
    kv = way.world.kv
    await kv.set(["n"], 1)
    runs: list[int] = []

    async def add(tx: AsyncTransaction) -> None:
        runs.append((await tx.get(["n"])).value)
        tx.set(["n"], runs[-1] + 1)
        way.lose("answer lost")

    with pytest.raises(OutcomeUnknown):
        await kv.transaction(add)
    way.come_back()
    assert runs == [1]
    assert (await kv.get(["n"])).value == 2
