"""Hosts that let each other hear of their commits, where the database carries words."""

from __future__ import annotations

import pytest
from buntime_host import Workers
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.engine.peers import Peers
from database.postgres.support import make_adapter, new_schema
from support.postgres import Postgres
from support.waiting import until


@pytest.mark.slow
async def test_hosts_hear_each_other(postgres: Postgres) -> None:
    schema = new_schema()
    one, other = (make_adapter(postgres.url, schema=schema) for _ in range(2))
    here, there = Peers(Workers.alone(), one), Peers(Workers.alone(), other)
    heard: list[str] = []
    there.changes.listen(lambda: heard.append("changes"))
    there.queue.listen(lambda: heard.append("queue"))
    await until(lambda: len(heard) == 2)  # once the connection is there
    heard.clear()
    assert here.are_there
    here.queue.send()
    await until(lambda: heard)
    here.changes.send()
    await until(lambda: len(heard) == 2)
    assert heard == ["queue", "changes"]
    for adapter in (one, other):
        await adapter.close()


async def test_a_process_alone_has_no_peers() -> None:
    adapter = SqliteAdapter(":memory:")
    assert not Peers(Workers.alone(), adapter).are_there
    await adapter.close()
