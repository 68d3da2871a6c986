"""The nodes of a real cluster: who leads, who is asked, who may ask, and what a read has seen."""

from __future__ import annotations

import asyncio
import json
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_database import (
    DatabaseUnavailable,
    ReadDemand,
    Statement,
    StatementTimeout,
    demanding,
)
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.rqlite.errors import ClusterAccessRefused
from buntime_plugin_database.engines.rqlite.options import RqliteOptions
from database.rqlite.conftest import OpenRqlite
from support.rqlite import Rqlited, leader_of, running_rqlite
from support.sqld import free_port
from support.waiting import PATIENCE

INSERT = "INSERT INTO seen (n) VALUES (?)"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Rqlited]]:
    with running_rqlite(tmp_path_factory.mktemp("cluster"), nodes=3) as servers:
        leader_of(servers).run("CREATE TABLE seen (n INTEGER)")
        yield servers


def levels_of(adapter: RqliteAdapter, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Node and path of each request from now on."""
    asked: list[tuple[str, str]] = []
    ask = adapter._nodes._ask_once

    async def look(url: str, path: str, *args: Any, **options: Any) -> Any:
        asked.append((url, path))
        return await ask(url, path, *args, **options)

    monkeypatch.setattr(adapter._nodes, "_ask_once", look)
    return asked


async def test_one_node_tells_of_the_others(
    cluster: list[Rqlited], open_rqlite: OpenRqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the leader is asked, without the way over others."""
    leader = leader_of(cluster)
    (follower, _) = [server for server in cluster if server is not leader]
    adapter = open_rqlite(follower.url)
    asked = levels_of(adapter, monkeypatch)
    await adapter.execute(INSERT, (1,))
    await adapter.query("SELECT n FROM seen")
    assert {url for url, _ in asked} == {leader.url}


async def test_the_level_none_asks_all_and_sees_what_it_wrote(
    cluster: list[Rqlited], open_rqlite: OpenRqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = open_rqlite(cluster[0].url, read_level="none", freshness_seconds=5.0)
    assert adapter.capabilities.replicas
    asked = levels_of(adapter, monkeypatch)
    for number in range(100, 130):
        await adapter.execute(INSERT, (number,))
        rows = await adapter.query("SELECT n FROM seen WHERE n = ?", (number,))
        assert rows == [(number,)]
    of_any = {url for url, path in asked if "level=none&" in path and "freshness=5s" in path}
    assert of_any == {server.url for server in cluster}


async def test_who_is_behind_is_not_believed(
    open_rqlite: OpenRqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = open_rqlite(read_level="none")
    await adapter.execute("CREATE TABLE behind (n INTEGER)")
    await adapter.query("SELECT n FROM behind")
    asked = levels_of(adapter, monkeypatch)
    adapter.writer.acknowledged += 1  # as if the node had not got the last one yet
    await adapter.query("SELECT n FROM behind")
    assert ["linearizable" in path for _, path in asked] == [False, True]


async def test_a_leader_is_asked_once_whether_it_has_all(
    open_rqlite: OpenRqlite, node: Rqlited, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node that was started again answers while it still carries out its log."""
    dead = f"http://127.0.0.1:{free_port()}"
    adapter = open_rqlite(dead, node.url)
    asked = levels_of(adapter, monkeypatch)
    for _ in range(2):
        await adapter.query("SELECT 1")
    adapter._nodes._leader = dead
    adapter._nodes._find_again_at = 0.0
    for _ in range(2):
        await adapter.query("SELECT 1")
    of_node = ["linearizable" in path for url, path in asked if url == node.url]
    # The first one asks for the names of the columns, too.
    assert of_node == [True, False, False, True, False]


async def test_what_a_read_demands(
    open_rqlite: OpenRqlite, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = open_rqlite(read_level="none")
    await adapter.query("SELECT 1")
    asked = levels_of(adapter, monkeypatch)
    await adapter.query("SELECT 1")
    await adapter.query("SELECT 1", fresh=True)
    with demanding(ReadDemand(strong=True)):
        await adapter.query("SELECT 1")
    assert ["linearizable" in path for _, path in asked] == [False, True, True]


async def test_a_leader_that_hangs_and_one_that_dies(
    cluster: list[Rqlited], open_rqlite: OpenRqlite
) -> None:
    adapter = open_rqlite(*(server.url for server in cluster), timeout_seconds=20.0)
    await adapter.execute(INSERT, (200,))
    leader = leader_of(cluster)
    leader.pause()
    try:
        assert await adapter.query("SELECT n FROM seen WHERE n = 200") == [(200,)]
        await adapter.execute(INSERT, (201,))
    finally:
        leader.resume()
    leader = await asyncio.to_thread(leader_of, cluster)
    await asyncio.to_thread(leader.kill)
    try:
        results = await asyncio.gather(*(adapter.execute(INSERT, (n,)) for n in range(300, 320)))
        assert results == [[]] * 20
        ((count,),) = await adapter.query("SELECT count(*) FROM seen WHERE n >= 300", fresh=True)
        assert count == 20
        assert adapter.problem() is None
    finally:
        await asyncio.to_thread(leader.start)


async def test_a_cluster_without_a_majority_says_so(
    tmp_path: Path, open_rqlite: OpenRqlite
) -> None:
    with running_rqlite(tmp_path, nodes=3) as servers:
        adapter = open_rqlite(servers[0].url, timeout_seconds=2.0)
        await adapter.execute("CREATE TABLE t (n INTEGER)")
        for server in servers[1:]:
            server.kill()
        async with asyncio.timeout(PATIENCE):
            while servers[0].is_ready():  # noqa: ASYNC110 - it notices by and by
                await asyncio.sleep(0.1)
        with pytest.raises(DatabaseUnavailable):
            await adapter.query("SELECT 1", fresh=True)
        assert "reads fail" in str(adapter.problem())
        assert await adapter.check() is not None
        for server in servers[1:]:
            server.launch()
        async with asyncio.timeout(PATIENCE):
            while await adapter.check() is not None:  # noqa: ASYNC110 - nobody could set an event
                await asyncio.sleep(0.1)
        await adapter.batch([Statement("INSERT INTO t VALUES (1)")])


def _node_with(folder: Path, *arguments: str) -> Rqlited:
    node = Rqlited(folder / "node", *arguments)
    node.launch()
    return node


async def test_who_may_ask(tmp_path: Path) -> None:
    (tmp_path / "users.json").write_text(
        json.dumps([{"username": "ada", "password": "hidden", "perms": ["all"]}])
    )
    node = _node_with(tmp_path, "-auth", str(tmp_path / "users.json"))
    try:
        known = RqliteAdapter([node.url], options=RqliteOptions(user="ada", password="hidden"))
        stranger = RqliteAdapter([node.url], options=RqliteOptions(user="ada", password="x"))
        await known.wait_until_ready(20)
        await known.execute("CREATE TABLE t (n INTEGER)")
        with pytest.raises(ClusterAccessRefused, match="refuses access, check user and password"):
            await stranger.wait_until_ready(20)
        with pytest.raises(ClusterAccessRefused):
            await stranger.execute("CREATE TABLE u (n INTEGER)")
        await known.close()
        await stranger.close()
    finally:
        node.kill()


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
async def test_certificates(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(  # noqa: ASYNC221 - nothing else runs yet
        ["openssl", "req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt",
         "ec_paramgen_curve:prime256v1", "-keyout", str(key), "-out", str(certificate),
         "-subj", "/CN=node", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    node = _node_with(tmp_path, "-http-cert", str(certificate), "-http-key", str(key))
    url = node.url.replace("http:", "https:")
    try:
        trusted = ssl.create_default_context(cafile=str(certificate))
        adapter = RqliteAdapter([url], options=RqliteOptions(tls=trusted))
        await adapter.wait_until_ready(20)
        assert await adapter.query("SELECT 1") == [(1,)]
        await adapter.close()
        doubtful = RqliteAdapter([url])
        with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
            await doubtful.query("SELECT 1")
        await doubtful.close()
    finally:
        node.kill()


async def test_a_query_that_runs_for_too_long_is_stopped(open_rqlite: OpenRqlite) -> None:
    """By the node itself, which would go on for nobody."""
    adapter = open_rqlite(statement_seconds=0.5)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    with pytest.raises(StatementTimeout, match="statementTimeout"):
        await adapter.query(endless)
    assert await adapter.query("SELECT 1") == [(1,)]
    assert adapter.problem() is None
