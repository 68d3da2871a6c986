"""Many clients at once, against one server and against two that share a store."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from keyval.engines import Engine
from keyval.service.asking import Api, open_api, together
from support.live import live_server

pytestmark = [pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres"), pytest.mark.slow]

ACCOUNTS = [["account", number] for number in range(100)]
START = 100
COUNTER = ["counter"]


@pytest.fixture(params=[1, 2], ids=["one server", "two servers"])
def bases(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> Iterator[list[str]]:
    """These tests ask two servers in turn, and expect one view of the store."""
    engine.empty_hosts()
    config = engine.host_config({}, one_view=True)
    with ExitStack() as servers:
        yield [
            servers.enter_context(live_server(tmp_path, config)).api
            for _ in range(int(request.param))
        ]


@pytest.fixture
async def api(bases: list[str]) -> AsyncIterator[Api]:
    async with open_api(bases) as opened:
        yield opened


def check(entry: Any) -> dict[str, Any]:
    return {"key": entry["key"], "versionstamp": entry["versionstamp"]}


def put(key: Any, value: Any) -> dict[str, Any]:
    return {"type": "set", "key": key, "value": value}


async def test_weakness_02_compare_and_set_loops_count_exactly(api: Api) -> None:
    async def increment() -> int:
        successes = 0
        for _ in range(8):
            (entry,) = await api.get(COUNTER)
            mutation = put(COUNTER, (entry["value"] or 0) + 1)
            successes += await api.commit(mutation, checks=[check(entry)])
        return successes

    successes = sum(await together([increment() for _ in range(64)]))
    (entry,) = await api.get(COUNTER)
    assert entry["value"] == successes
    assert successes >= 8, "somebody wins every round"


@pytest.mark.engines("sqlite", "libsql", "rqlite")
async def test_transfers_keep_the_total(api: Api) -> None:
    assert await api.commit(*(put(key, START) for key in ACCOUNTS))
    done = asyncio.Event()
    dice = random.Random(7)

    async def transfer() -> int:
        successes = 0
        for _ in range(15):
            source, target = dice.sample(ACCOUNTS[:: dice.choice([1, 25])], 2)
            one, other = await api.snapshot(source, target)
            amount = dice.randint(1, 50)
            successes += await api.commit(
                put(source, one["value"] - amount),
                # A read-modify-write of either kind: by the client, or by the server.
                dice.choice(
                    [
                        put(target, other["value"] + amount),
                        {"type": "sum", "key": target, "value": amount},
                    ]
                ),
                checks=[check(one), check(other)],
            )
        return successes

    async def watch() -> int:
        reads = 0
        while not done.is_set():
            listed = await api.ask("GET", "/keys?prefix=account&limit=1000")
            for entries in (await api.get(*ACCOUNTS), await api.snapshot(*ACCOUNTS), listed):
                assert sum(entry["value"] for entry in entries) == START * len(ACCOUNTS)
                reads += 1
        return reads

    async def transfers() -> int:
        try:
            return sum(await together([transfer() for _ in range(16)]))
        finally:
            done.set()

    successes, *reads = await together([transfers(), watch(), watch()])
    assert successes > 0
    assert min(reads) > 0
    entries = await api.get(*ACCOUNTS)
    assert sum(entry["value"] for entry in entries) == START * len(ACCOUNTS)
    assert any(entry["value"] != START for entry in entries)


async def test_one_creator_wins(api: Api) -> None:
    for number in range(20):
        key = ["lock", number]
        absent = [{"key": key, "versionstamp": None}]
        attempts = [api.commit(put(key, owner), checks=absent) for owner in range(16)]
        won = await together(attempts)
        assert won.count(True) == 1
        (entry,) = await api.get(key)
        assert entry["value"] == won.index(True)


async def test_every_sum_counts(api: Api) -> None:
    mutation = {"type": "sum", "key": COUNTER, "value": 1}
    assert all(await together([api.commit(mutation) for _ in range(200)]))
    assert [entry["value"] for entry in await api.get(COUNTER)] == [200]


async def test_writes_of_every_kind_at_once(api: Api) -> None:
    """Blind writes, sums, appends and prefix deletes share the log without a gap."""
    work: list[Any] = []
    for number in range(60):
        work += [
            api.ask("PUT", f"/keys/put/{number}", number),
            api.commit({"type": "sum", "key": COUNTER, "value": number}),
            api.commit({"type": "append", "key": ["list"], "value": [number]}),
            api.ask("DELETE", f"/keys/gone/{number}"),
        ]
    await together(work)
    counter, items = await api.get(COUNTER, ["list"])
    assert counter["value"] == sum(range(60))
    assert sorted(items["value"]) == list(range(60))
    assert await api.ask("GET", "/keys/count?prefix=put") == {"count": 60}


async def test_readers_that_list_behind_their_last_key_miss_nothing(api: Api) -> None:
    done = asyncio.Event()

    async def append(name: int) -> list[str]:
        stamps = []
        for number in range(25):
            mutation = put(["log", {"$uuidv7": True}], [name, number])
            answer = await api.ask("POST", "/atomic", {"mutations": [mutation]})
            stamps.append(answer["versionstamp"])
        return stamps

    async def appending() -> list[str]:
        try:
            told = await together([append(name) for name in range(24)])
            return [stamp for stamps in told for stamp in stamps]
        finally:
            done.set()

    async def follow() -> list[Any]:
        seen: list[Any] = []
        while True:
            was_done = done.is_set()
            query = f"&start=log/{seen[-1]['key'][1]}" if seen else ""
            page = await api.ask("GET", f"/keys?prefix=log&limit=1000{query}")
            seen += page[1:] if seen else page
            if was_done and len(page) <= 1:
                return seen

    stamps, *seen = await together([appending(), *(follow() for _ in range(4))])
    everything = await api.ask("GET", "/keys?prefix=log&limit=1000")
    assert sorted(stamps) == [entry["key"][1] for entry in everything]
    assert all(entry["key"][1] == entry["versionstamp"] for entry in everything)
    for followed in seen:
        assert followed == everything
