"""Which writes share a commit."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Batch, DatabaseError, Guard, ResultSet
from buntime_keyval.wire import encode_key
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.engine import packing, regathering
from buntime_plugin_keyval.engine.additions import Requirement
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.model.where import parse_where
from buntime_plugin_keyval.storage.schema import migrate
from keyval.service.world import World, values

WRITERS = 8
ROUNDS = 5


async def commits_of(path: Path, write: Callable[[Store, int], Awaitable[None]]) -> float:
    """The commits it takes when all writers, of which each has a number, write at the same time."""
    adapter = SqliteAdapter(str(path))
    try:
        await migrate(adapter, 0)
        store = Store(adapter, logger=logging.getLogger("test"))
        before = adapter.statistics()["commits"]
        await asyncio.gather(*(write(store, number) for number in range(WRITERS)))
        return adapter.statistics()["commits"] - before
    finally:
        await adapter.close()


def put(store: Store, number: int, turn: int) -> asyncio.Future[str]:
    return store.set(b"\x02%d\0" % number, "[]", str(turn))


async def commits_of_two_halves(path: Path) -> float:
    """Half of the writers start while the other half is committed."""
    under_way = asyncio.Event()

    async def write(store: Store, number: int) -> None:
        if number % 2:
            await under_way.wait()
        for turn in range(ROUNDS):
            writing = put(store, number, turn)
            if not number % 2 and not turn:
                asyncio.get_running_loop().call_later(0, under_way.set)
            await writing

    return await commits_of(path, write)


async def test_writers_that_were_just_answered_join_those_that_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regathering, "REGATHER_SHARE", 1e9)
    monkeypatch.setattr(regathering, "REGATHER_SECONDS", 10.0)
    assert await commits_of_two_halves(tmp_path / "patient.db") <= ROUNDS + 2
    monkeypatch.setattr(regathering, "REGATHER_SHARE", 0.0)
    assert await commits_of_two_halves(tmp_path / "hasty.db") >= ROUNDS + 2


async def commits_of_a_row(path: Path) -> float:
    """The writers come back one after the other, at first together."""

    async def write(store: Store, number: int) -> None:
        for turn in range(ROUNDS):
            await put(store, number, turn)
            for _ in range(number):
                await asyncio.sleep(0)

    return await commits_of(path, write)


async def test_the_first_ones_to_come_back_wait_for_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(regathering, "REGATHER_SHARE", 1e9)
    monkeypatch.setattr(regathering, "REGATHER_SECONDS", 10.0)
    assert await commits_of_a_row(tmp_path / "patient.db") == ROUNDS
    monkeypatch.setattr(regathering, "REGATHER_SHARE", 0.0)
    assert await commits_of_a_row(tmp_path / "hasty.db") > ROUNDS


async def test_nobody_is_waited_for_who_did_not_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    patience, groups = 1_000, 60
    seconds = count()
    monkeypatch.setattr(regathering, "perf_counter", lambda: float(next(seconds)))
    monkeypatch.setattr(regathering, "REGATHER_SHARE", 1e9)
    monkeypatch.setattr(regathering, "REGATHER_SECONDS", float(patience))
    writes: list[asyncio.Future[str]] = []

    class Crowded(SqliteAdapter):
        """During each commit somebody else comes, who writes once."""

        async def batch_each(
            self, batches: Sequence[Batch]
        ) -> list[list[ResultSet] | DatabaseError]:
            outcomes = await super().batch_each(batches)
            if len(writes) < groups:
                writes.append(asyncio.ensure_future(store.set(b"\x02a\0", "[]", str(len(writes)))))
                await asyncio.sleep(0)
            return outcomes

    alone = SqliteAdapter(str(tmp_path / "kv.db"))
    await migrate(alone, 0)
    await alone.close()
    adapter = Crowded(str(tmp_path / "kv.db"))
    try:
        store = Store(adapter, logger=logging.getLogger("test"))
        await store.set(b"\x02a\0", "[]", "0")
        while len(writes) < groups or not all(write.done() for write in writes):
            await asyncio.wait(writes)
    finally:
        await adapter.close()
    waits = next(seconds) // patience
    assert 2 <= waits <= 8, f"{waits} times for {groups} groups"


async def test_what_others_wait_for_waits_for_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(regathering, "REGATHER_SHARE", 1e9)
    monkeypatch.setattr(regathering, "REGATHER_SECONDS", 1e9)
    pending = [1]
    waits = regathering.Regathering(pending, 100)

    async def begun() -> asyncio.Task[None]:
        waits.answered(5, 1.0)
        waiting = asyncio.create_task(waits.wait())
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        return waiting

    waiting = await begun()
    waits.hurry()
    await waiting
    waits.hurry()
    waits.answered(5, 1.0)
    await waits.wait()
    waiting = await begun()  # only once for each time
    pending += [2] * 5
    await waiting


async def awaited(write: Awaitable[Any]) -> Any:
    return await write


async def together(world: World, *writes: Awaitable[Any]) -> tuple[list[Any], float]:
    """What becomes of writes of one turn of the loop, and how many commits that takes.

    Those that are on their way already as well, unless the loop had a turn since.
    """
    before = world.adapter.statistics()["commits"]
    results = await asyncio.gather(*map(awaited, writes))
    return results, world.adapter.statistics()["commits"] - before


async def test_deletions_share_a_commit_and_each_counts_its_own(world: World) -> None:
    kv = world.kv
    for number in range(WRITERS):
        await kv.atomic().set(("a", number), 1).set(("a", number, "below"), 1).commit()
    keys = [("a", number) for number in range(WRITERS)]
    deletions = [world.store.delete([encode_key(key)], exact=True) for key in (*keys, keys[0])]
    counts, commits = await together(world, *deletions)
    assert (counts, commits) == ([1] * WRITERS + [0], 1)
    assert await world.stored() == WRITERS


@pytest.mark.parametrize("exact", [True, False])
async def test_a_write_behind_a_deletion_sees_what_is_gone(world: World, exact: bool) -> None:
    kv = world.kv
    stays = await kv.set(("n", "below"), 7)
    stamp = (await kv.set(("n",), 5)).versionstamp
    key = ("n",)
    (removed, _, failed, checked, below), commits = await together(
        world,
        world.kv.delete(key, exact=exact),
        kv.atomic().sum(key, 1).commit(),
        kv.atomic().check((key, stamp)).set(key, 0).commit(),
        kv.atomic().check((("new",), None)).set(("new",), 1).commit(),
        kv.atomic().check((("n", "below"), stays.versionstamp)).set(("kept",), 1).commit(),
    )
    deleted = removed.deleted_count
    assert (deleted, failed.ok, checked.ok, below.ok) == (2 - exact, False, True, exact)
    assert (await kv.get(key)).value == 1
    assert commits == 1  # all of it was decided rightly at once


@pytest.mark.parametrize("value", [5, 6])
async def test_guards_say_whether_the_condition_of_a_deletion_held(
    world: World, value: int
) -> None:
    kv, key = world.kv, ("n",)
    stamp = (await kv.set(key, {"v": 5})).versionstamp
    where = parse_where({"v": {"$eq": value}})
    (removed, changed, absent), _ = await together(
        world,
        world.store.delete([encode_key(key)], exact=True, where=where),
        kv.atomic().check((key, stamp)).set(("changed",), 1).commit(),
        kv.atomic().check((key, None)).set(("absent",), 1).commit(),
    )
    was_removed = value == 5
    assert (removed, changed.ok) == (was_removed, not was_removed)
    assert absent.ok in {was_removed, False}  # it may come before the deletion, too
    assert (await kv.get(key)).exists is not was_removed


async def test_a_deletion_of_many_holds_up_nobody_who_came_before(world: World) -> None:
    for number in range(200):
        await world.kv.set(("many", number), 1)
    _, commits = await together(
        world,
        world.kv.set(("before",), 1),
        world.store.delete([encode_key(("many",)), encode_key(("others",))], exact=False),
        world.kv.set(("behind",), 1),
    )
    assert commits == 3


async def test_a_group_is_one_batch_until_a_part_of_it_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then each write has one, also those of the next groups."""
    sizes: list[int] = []
    commit = world.adapter.batch_each

    async def noted(batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        sizes.append(len(batches))
        return await commit(batches)

    monkeypatch.setattr(world.adapter, "batch_each", noted)
    monkeypatch.setattr(packing, "APART_GROUPS", 2)
    kv = world.kv

    async def write(number: int) -> None:
        summed, removed, _ = await asyncio.gather(
            kv.atomic().sum(("n",), 1).commit(), kv.delete(("a",)), kv.set(("a",), number)
        )
        assert summed.ok
        assert removed.deleted_count == (number > 0)

    await write(0)

    async def guarded() -> object:
        return await world.store.commit([Requirement(Guard("1 = 2"))], [])

    failed, done = await asyncio.gather(guarded(), kv.atomic().sum(("n",), 1).commit())
    assert failed is None
    assert done.ok
    for number in range(1, 4):
        await write(number)
    assert sizes == [1, 1, 2, 3, 3, 1]
    assert await values(kv) == {("n",): 5, ("a",): 3}


async def test_who_begins_to_follow_while_a_commit_is_under_way(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commit was made without what followers are told, and they find it in the log."""
    store = world.store
    commit = world.adapter.batch_each
    told: list[bytes] = []

    async def followed(batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        outcomes = await commit(batches)
        store.subscribe(lambda changes, _: told.extend(change.key for change in changes))
        return outcomes

    monkeypatch.setattr(world.adapter, "batch_each", followed)
    writing = [store.set(b"\x02%d\0" % number, "[]", "1") for number in range(3)]
    assert all([await written for written in writing])
    assert told == []
    monkeypatch.undo()
    await store.set(b"\x02a\0", "[]", "1")
    assert told == [b"\x02a\0"]
