"""An event is a step from one state of the store to a later one: no commit is told in halves."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.features.watch import watcher as watcher_module
from buntime_plugin_keyval.features.watch.pending import Notice, Pending, State
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from buntime_plugin_keyval.storage import states
from keyval.service.world import World
from keyval.watch.bank import ACCOUNTS, TOTAL, OpenStream, run_bank
from keyval.watch.following import Client, Gate, stored
from support.api import api_of
from support.live import live_server
from support.sse import event_stream

pytestmark = [pytest.mark.engines("sqlite", "libsql"), pytest.mark.slow]
everywhere = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")

KEYS: list[tuple[Any, ...]] = [("bank", number) for number in range(ACCOUNTS)]


def total(values: dict[bytes, str]) -> int:
    return sum(map(int, values.values()))


async def open_accounts(world: World) -> None:
    commit = world.kv.atomic()
    for key in KEYS:
        commit.set(key, 100)
    await commit.commit()


async def transfer(world: World, dice: random.Random) -> None:
    one, two = dice.sample(KEYS, 2)
    amount = dice.randrange(1, 9)
    await world.kv.atomic().sum(one, -amount).sum(two, amount).commit()


@everywhere
@pytest.mark.parametrize("limit", [3, 100])
@pytest.mark.parametrize("seed", range(2))
async def test_the_total_of_all_accounts_never_changes(
    world: World, other: World, seed: int, limit: int
) -> None:
    """With a limit that is too small it may in between, and the ids say so."""
    dice = random.Random(seed)
    await open_accounts(world)
    done = asyncio.Event()

    async def write(writer: World) -> None:
        for _ in range(150):
            await transfer(writer, dice)
            if dice.randrange(3) == 0:
                await asyncio.sleep(dice.random() / 200)

    async def follow(target: WatchTarget) -> Client:
        client = Client(world, target, limit)
        while not done.is_set():
            await client.connect()
            for _ in range(dice.randrange(1, 12)):
                await client.read()
            await client.leave()
        await client.connect()
        await client.read_all()
        await client.leave()
        return client

    targets = [WatchTarget.of_keys(KEYS)]
    if limit > ACCOUNTS:  # the first event of a prefix has no more than that
        targets.append(WatchTarget.of_prefix(("bank",)))
    following = [asyncio.create_task(follow(target)) for target in targets]
    await asyncio.gather(write(world), write(other))
    done.set()
    wanted = await stored(world)
    for client in await asyncio.gather(*following):
        assert client.known == wanted
        assert client.resets == 0
        assert len(client.whole) > 3
        assert {total(values) for values in client.whole} == {TOTAL}


async def test_what_is_read_is_not_newer_than_its_place(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A later commit must not show in a reading of an earlier place, not even in part."""
    await open_accounts(world)
    client = Client(world)
    await client.connect()
    gate = Gate(monkeypatch, world.store, "news")
    await other.kv.atomic().sum(KEYS[0], -5).sum(KEYS[1], 5).commit()
    await gate.reached.wait()
    await other.kv.atomic().sum(KEYS[1], -7).sum(KEYS[2], 7).commit()
    gate.open.set()
    await client.read_all()
    assert {total(values) for values in client.whole} == {TOTAL}
    assert client.known == await stored(world)


async def test_a_slow_watcher_is_told_whole_commits(world: World) -> None:
    dice = random.Random(1)
    await open_accounts(world)
    client = Client(world, WatchTarget.of_keys(KEYS), limit=3)
    await client.connect()
    for _ in range(40):
        await transfer(world, dice)
    await client.read_all()
    assert client.known == await stored(world)
    assert {total(values) for values in client.whole} == {TOTAL}
    assert max(client.sizes[1:]) <= 3


@pytest.mark.parametrize("bound", ["MOST_KEYS", "MOST_BYTES"])
async def test_more_than_one_reading_may_bring_is_told_in_pieces(
    world: World, other: World, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    monkeypatch.setattr(states, bound, 10)
    await open_accounts(world)
    client = Client(world, limit=5)
    client.limit = 100
    await client.connect()
    commit = other.kv.atomic()
    for number in range(40):
        commit.set(("k", number), "v" * 5)
    await commit.commit()
    await client.read_all()
    assert client.known == await stored(world)
    assert client.resets == 0
    assert [len(values) for values in client.whole] == [ACCOUNTS, ACCOUNTS + 40]


async def test_a_watcher_that_was_overrun_is_told_whole_commits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watcher_module, "MAX_PENDING", 4)
    dice = random.Random(2)
    await open_accounts(world)
    client = Client(world)
    await client.connect()
    for _ in range(30):
        for _ in range(6):
            await transfer(world, dice)
        await client.read()
    await client.read_all()
    assert client.known == await stored(world)
    assert {total(values) for values in client.whole} == {TOTAL}


def notice(commit: int, seq: int, name: str) -> Notice:
    key = encode_key((name,))
    return Notice(f"{commit:03}", seq, f"{commit:03}", State(key, "1", f"{commit:03}"))


def cut(limit: int, *commits: str) -> list[tuple[int, bool]]:
    """How many keys each event has, and whether a state ends there; a commit is its keys."""
    pending = Pending()
    seq = 0
    for number, names in enumerate(commits):
        for name in names:
            seq += 1
            pending.add(notice(number, seq, name))
    events = []
    while len(pending):
        taken = pending.take(limit)
        events.append((len(taken.notices), taken.is_whole))
    assert pending.chars == 0
    return events


@pytest.mark.parametrize(
    ("limit", "commits", "events"),
    [
        (10, ["abcdef", "ghijkl", "mnopqr"], [(6, True), (6, True), (6, True)]),
        (6, ["abc", "def", "ghi"], [(6, True), (3, True)]),
        (3, ["abcde", "fgh"], [(3, False), (2, True), (3, True)]),
        (2, ["ab", "ac"], [(1, False), (2, True)]),
        (2, ["ab", "b", "c"], [(2, True), (1, True)]),
        (1, ["ab", "b"], [(1, False), (1, True)]),
        (3, ["ab", "cd", "ae"], [(3, False), (2, True)]),
        (4, ["ab", "cd", "ae"], [(3, False), (2, True)]),
        (5, ["ab", "cd", "ae"], [(5, True)]),
    ],
)
def test_where_events_are_cut(limit: int, commits: list[str], events: list[Any]) -> None:
    assert cut(limit, *commits) == events


@everywhere
def test_two_hosts_on_one_store(tmp_path: Path, host_config: Callable[..., dict[str, Any]]) -> None:
    with (
        live_server(tmp_path, host_config()) as first,
        live_server(tmp_path) as second,
        api_of(first.api) as one,
        api_of(second.api) as two,
    ):

        def stream_of(base: str) -> OpenStream:
            query = {"prefix": "bank"}
            return lambda headers: event_stream(base, "/watch/prefix", query=query, headers=headers)

        run_bank((one, two), (stream_of(first.api), stream_of(second.api)))
