"""Requests that look at many entries: in turn, for a limited time, and not for nobody."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_plugin_database.engines.sqlite.connection import SqliteOptions
from buntime_plugin_keyval.engine.scans import MAX_WAITING, Scans
from buntime_plugin_keyval.model.errors import TooManyScans
from support.api import Api, api_of
from support.beside import opened_beside
from support.live import live_server
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

ENTRIES = 2_000
TEXT = "lorem ipsum dolor sit amet, " * 20
SLOW: dict[str, Any] = {"$or": [{"text": {"$containsi": f"{n} is missing"}} for n in range(900)]}
"""Matches nothing, and takes seconds to find that out."""


def config(**limits: Any) -> dict[str, Any]:
    adapter = {"type": "sqlite", "baseDir": "data", "statementTimeout": limits.pop("statement")}
    return {
        "plugins": [
            ["@buntime/plugin-database", {"adapters": [adapter]}],
            ["@buntime/plugin-keyval", {"limits": limits}],
        ]
    }


def fill(api: Api) -> None:
    for start in range(0, ENTRIES, 500):
        sets = [
            {"type": "set", "key": ["e", number], "value": {"text": TEXT}}
            for number in range(start, start + 500)
        ]
        api.json("POST", "/atomic", {"mutations": sets})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the impatient server has its files."""
    return tmp_path_factory.mktemp("impatient")


@pytest.fixture(scope="module")
def impatient(folder: Path) -> Iterator[Api]:
    """A full store whose requests may take 200 ms."""
    settings = config(statement=200, requestTime="200ms", conditions=950)
    with live_server(folder, settings) as server, api_of(server.api) as api:
        fill(api)
        yield api


def assert_given_up(response: httpx2.Response) -> None:
    answer = response.json()
    assert (response.status_code, answer["code"]) == (503, "KEYVAL_TIMEOUT")
    assert "Ask for less at a time" in answer["error"]


@pytest.mark.parametrize("path", ["/keys/list", "/keys/count", "/keys/paginate"])
def test_a_read_that_takes_too_long_is_given_up(impatient: Api, path: str) -> None:
    assert_given_up(impatient.send("POST", path, {"prefix": ["e"], "where": SLOW}))


def test_a_filter_has_as_many_conditions_as_are_allowed(impatient: Api) -> None:
    for count in (950, 951):
        where = {"$or": [{"n": {"$eq": number}} for number in range(count)]}
        answer = impatient.send("POST", "/keys/list", {"prefix": ["none"], "where": where})
        if count == 950 and answer.status_code == 503:  # nothing else than that it took long
            assert_given_up(answer)
        else:
            assert answer.status_code == (200 if count == 950 else 413), answer.text
    assert "limits.conditions" in answer.json()["error"]


def test_a_deletion_that_takes_too_long_deletes_nothing(impatient: Api, folder: Path) -> None:
    body = {"keys": [["e"]], "where": {"$not": SLOW}}
    assert_given_up(impatient.send("POST", "/keys/delete-batch", body))
    # Looked up in the file: on a busy machine a count would be given up too.
    with opened_beside(folder / "data" / "_default.db") as database:
        left = database.execute(
            "SELECT count(*) FROM kv_entries WHERE key_json LIKE '[\"e\",%'"
        ).get
    assert left == ENTRIES


def test_a_deletion_by_a_long_filter_deletes_what_matches(impatient: Api) -> None:
    numbers = [{"n": {"$eq": number}} for number in range(100)]
    sets = [
        {"type": "set", "key": ["few", number], "value": {"n": number}} for number in range(150)
    ]
    impatient.json("POST", "/atomic", {"mutations": sets})
    body = {"keys": [["few"]], "where": {"$or": numbers}}
    assert impatient.json("POST", "/keys/delete-batch", body) == {"deletedCount": 100}
    left = [impatient.value("few", number) is not None for number in range(150)]
    assert left == [number >= 100 for number in range(150)]


def test_a_scan_ends_when_its_client_has_gone(tmp_path: Path) -> None:
    with (
        live_server(tmp_path, config(statement=0, requestTime="1h")) as server,
        api_of(server.api) as api,
    ):
        fill(api)
        # Together they would take minutes, and there is one turn at a time.
        body = json.dumps({"prefix": ["e"], "where": SLOW}).encode()
        host, port = server.url.removeprefix("http://").split(":")
        head = f"POST /keyval/api/keys/count HTTP/1.1\r\nHost: {host}\r\n"
        request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
        sockets = [socket.create_connection((host, int(port))) for _ in range(40)]
        for connection in sockets:
            connection.sendall(request)
        for connection in sockets:
            connection.close()
        found = api.json(
            "POST", "/keys/list", {"prefix": ["e"], "limit": 1, "where": {"text": TEXT}}
        )
        assert len(found) == 1


async def test_each_client_has_its_turn() -> None:
    scans = Scans(2)
    order = []
    ends = {name: asyncio.Event() for name in ("a1", "a2", "a3", "b1")}

    async def scan(name: str) -> None:
        async with scans.turn(name[0]):
            order.append(name)
            await ends[name].wait()

    tasks = []
    for name in ends:
        tasks.append(asyncio.create_task(scan(name)))
        await asyncio.sleep(0)
    for _ in tasks:
        ends[order[-1]].set()
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)
    assert order == ["a1", "a2", "b1", "a3"]


async def test_one_client_has_two_turns_while_nobody_else_waits() -> None:
    scans = Scans(SqliteOptions().readers)
    turns = [scans.turn("a") for _ in range(4)]
    for turn in turns[:2]:
        async with asyncio.timeout(PATIENCE):
            await turn.__aenter__()
    third = asyncio.create_task(turns[2].__aenter__())
    other = scans.turn("b")
    first = asyncio.create_task(other.__aenter__())
    await asyncio.sleep(0)
    assert not third.done()
    await turns[0].__aexit__(None, None, None)
    async with asyncio.timeout(PATIENCE):
        await third
    await turns[1].__aexit__(None, None, None)
    async with asyncio.timeout(PATIENCE):
        await first


async def test_what_no_longer_waits_does_not_get_a_turn() -> None:
    scans = Scans(1)
    first = scans.turn("a")
    await first.__aenter__()
    waiting = [asyncio.create_task(scans.turn("b").__aenter__()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.sleep(0)
    await first.__aexit__(None, None, None)
    async with asyncio.timeout(PATIENCE):
        await waiting[1]


async def test_one_client_waits_with_so_many_at_the_most() -> None:
    scans = Scans(1)
    async with scans.turn("a"):
        waiting = [asyncio.create_task(scans.turn("a").__aenter__()) for _ in range(MAX_WAITING)]
        await asyncio.sleep(0)
        with pytest.raises(TooManyScans, match=f"at most {MAX_WAITING}"):
            async with scans.turn("a"):
                pass
        other = asyncio.create_task(scans.turn("b").__aenter__())
        await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE):
        await waiting[0]
    for task in (*waiting, other):
        task.cancel()
