"""Which server answers, and what happens when one of them does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_database import (
    DatabaseBusy,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
    Statement,
)
from buntime_plugin_database.engines.libsql import servers
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.libsql.transport import Json
from support.sqld import Sqld, free_port, running_sqld

OpenLibsql = Callable[..., LibsqlAdapter]
COUNT = "SELECT count(*) FROM t"
INSERT = "INSERT INTO t DEFAULT VALUES"
DEADLINE_SECONDS = 15.0


@pytest.fixture
def own_pair(tmp_path: Path) -> Iterator[list[Sqld]]:
    """Servers that a test may kill."""
    with running_sqld(tmp_path, replicas=1) as servers:
        yield servers


@pytest.fixture
async def adapter(open_libsql: OpenLibsql) -> LibsqlAdapter:
    adapter = open_libsql()
    await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    return adapter


async def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not await condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.02)


async def test_reads_go_to_the_replica_and_see_every_own_write(adapter: LibsqlAdapter) -> None:
    for number in range(1, 101):
        await adapter.execute(INSERT)
        assert await adapter.query(COUNT) == [(number,)]
    numbers = adapter.statistics()
    assert numbers["replica_reads"] == 100
    assert numbers["primary_reads"] == 0


async def test_fresh_reads_and_doubtful_ones_go_to_the_primary(adapter: LibsqlAdapter) -> None:
    await adapter.query(COUNT, fresh=True)
    await adapter.query("PRAGMA user_version")
    assert adapter.statistics()["primary_reads"] == 2
    for sql in (
        "/* a comment */ SELECT 1",
        "-- another\n WITH x AS (SELECT 1) SELECT * FROM x",
        "VALUES (1)",
        "EXPLAIN SELECT 1",
        "PRAGMA table_info(t)",
    ):
        await adapter.execute(sql)
    assert adapter.statistics()["replica_reads"] == 5


async def test_reads_stay_on_the_primary_for_a_while_if_so_configured(
    open_libsql: OpenLibsql,
) -> None:
    adapter = open_libsql(read_your_writes=0.3)
    await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    assert await adapter.query(COUNT) == [(0,)]
    assert adapter.statistics()["replica_reads"] == 0

    async def is_on_the_replica() -> bool:
        await adapter.query("SELECT 1")
        return adapter.statistics()["replica_reads"] > 0

    await until(is_on_the_replica)


async def test_a_server_that_tells_no_position(
    adapter: LibsqlAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then own writes are read from the primary, for as long as a replica may be behind."""
    monkeypatch.setattr(servers, "position_of", lambda _: None)
    adapter._servers._positions.begin_log(None)
    await adapter.execute(INSERT)
    before = adapter.statistics()["primary_reads"]
    assert await adapter.query(COUNT) == [(1,)]
    assert adapter.statistics()["primary_reads"] == before + 1


async def test_a_replica_that_dies_and_comes_back(
    own_pair: list[Sqld], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "BENCH_SECONDS", 0.3)
    _, replica = own_pair
    adapter = LibsqlAdapter([server.url for server in own_pair])
    try:
        await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        assert await adapter.query(COUNT) == [(0,)]
        replica.kill()
        for number in range(1, 21):
            await adapter.execute(INSERT)
            assert await adapter.query(COUNT) == [(number,)]
        assert adapter.statistics()["replica_failures"] >= 1
        await asyncio.to_thread(replica.start)
        before = adapter.statistics()["replica_reads"]

        async def is_back() -> bool:
            assert await adapter.query(COUNT) == [(20,)]
            return adapter.statistics()["replica_reads"] > before

        await until(is_back)
    finally:
        await adapter.close()


async def test_a_replica_that_hangs_is_given_up(
    own_pair: list[Sqld], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(servers, "REPLICA_SECONDS", 0.3)
    _, replica = own_pair
    adapter = LibsqlAdapter([server.url for server in own_pair])
    try:
        await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        replica.pause()
        assert await adapter.query(COUNT) == [(0,)]
        assert adapter.statistics()["replicas_benched"] == 1
        assert await adapter.query(COUNT) == [(0,)]
        assert adapter.statistics()["replica_failures"] == 1
        replica.resume()
    finally:
        await adapter.close()


async def test_a_primary_that_hangs_times_out(own_pair: list[Sqld]) -> None:
    primary, _ = own_pair
    adapter = LibsqlAdapter([primary.url], options=LibsqlOptions(timeout_seconds=0.5))
    try:
        await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        primary.pause()
        with pytest.raises(DatabaseUnavailable, match="did not answer in time"):
            await adapter.query(COUNT)
        outcomes = await asyncio.gather(
            *(adapter.execute(INSERT) for _ in range(3)), return_exceptions=True
        )
        assert isinstance(outcomes[0], OutcomeUnknown)
        for outcome in outcomes[1:]:
            assert isinstance(outcome, DatabaseUnavailable)
            assert "was not sent" in str(outcome)
        primary.resume()

        async def works() -> bool:
            return bool(await adapter.query(COUNT))

        await until(works)
    finally:
        await adapter.close()


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_a_primary_that_is_killed_and_started_again(
    own_pair: list[Sqld], scheme: str
) -> None:
    primary, _ = own_pair
    # For so long it is asked what became of the first write.
    options = LibsqlOptions(timeout_seconds=3)
    adapter = LibsqlAdapter([primary.url.replace("http", scheme)], options=options)
    try:
        await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        primary.kill()
        for _ in range(3):
            with pytest.raises((DatabaseUnavailable, OutcomeUnknown)):
                await adapter.execute(INSERT)
            with pytest.raises(DatabaseUnavailable):
                await adapter.query(COUNT)
        await asyncio.to_thread(primary.start)
        await adapter.batch([Statement(INSERT)])
        assert await adapter.query(COUNT) == [(1,)]
    finally:
        await adapter.close()


async def test_nobody_listens(open_libsql: OpenLibsql) -> None:
    adapter = open_libsql(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DatabaseUnavailable, match="cannot be reached") as raised:
        await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    assert not isinstance(raised.value, OutcomeUnknown)  # it was certainly not carried out
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        await adapter.wait_until_ready(0.1)


async def test_waiting_for_a_server_that_starts(tmp_path: Path) -> None:
    server = Sqld(tmp_path)
    adapter = LibsqlAdapter([server.url])
    try:
        waiting = asyncio.create_task(adapter.wait_until_ready(DEADLINE_SECONDS))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(server.start)
        await waiting
    finally:
        await adapter.close()
        server.kill()


async def test_large_values_and_results(urls: list[str], open_libsql: OpenLibsql) -> None:
    """Websockets too, whose library stops at 4 MiB by itself."""
    for url in (urls[0], urls[0].replace("http", "ws")):
        adapter = open_libsql(url)
        ((blob,),) = await adapter.query("SELECT zeroblob(5000000)")
        assert blob == bytes(5_000_000)
        ((size,),) = await adapter.query("SELECT length(?)", ("x" * 2_000_000,))
        assert size == 2_000_000
        with pytest.raises(InvalidStatement, match="infinity"):
            await adapter.query("SELECT 1e999")


async def test_who_is_kept_from_the_lock_tries_again(open_libsql: OpenLibsql) -> None:
    """Of busy hosts on one server, one may lose the race for longer than the server waits."""
    adapter = open_libsql(timeout_seconds=30)
    await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    refuse_as_busy(adapter, times=3)
    await asyncio.gather(*(adapter.execute(INSERT) for _ in range(4)))
    assert await adapter.query(COUNT, fresh=True) == [(4,)]


async def test_who_never_gets_the_lock_hears_that_it_is_busy(open_libsql: OpenLibsql) -> None:
    adapter = open_libsql(timeout_seconds=0.3)
    await adapter.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    refuse_as_busy(adapter, times=10_000)
    with pytest.raises(DatabaseBusy, match="database is locked"):
        await adapter.execute(INSERT)


def refuse_as_busy(adapter: LibsqlAdapter, *, times: int) -> None:
    """Let the server refuse so many requests that write, as it does when others have its lock."""
    transport = adapter._servers.primary.transport
    send = transport.batch
    left = times

    async def refuse(steps: list[Json]) -> Json:
        nonlocal left
        if left and any(step["stmt"]["sql"] == "COMMIT" for step in steps):
            left -= 1
            raise DatabaseBusy("database is locked")
        return await send(steps)

    transport.batch = refuse  # type: ignore[method-assign]
