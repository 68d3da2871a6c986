"""Versionstamps are in the order of the commits, whatever the clocks of those who commit say."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from itertools import pairwise
from typing import Any

import pytest
from buntime_keyval import AsyncAtomic, CommitResult
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire import encode_key, key_to_json
from buntime_plugin_keyval.engine import commit as commit_module
from buntime_plugin_keyval.engine import writes
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.mutations import make_mutation
from keyval.service.upgrade import stamp_of
from keyval.service.world import NOW_MS, FakeClock, World, until, values

pytestmark = pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres")

Join = Callable[[FakeClock], AbstractAsyncContextManager[World]]
Opening = Callable[[], AbstractAsyncContextManager[World]]
Older = Callable[[int], AbstractAsyncContextManager[World]]

MINUTE = 60_000
LOG = """
INSERT INTO kv_changes (seq, key, versionstamp, operation, at)
SELECT coalesce(max(seq), 0) + 1, ?, ?, 'set', 0 FROM kv_changes"""
FOREIGN = encode_key(("a",))


@pytest.fixture
async def late(join_store: Join) -> AsyncIterator[World]:
    """A host of the same store, whose clock is a minute behind."""
    async with join_store(FakeClock(NOW_MS - MINUTE)) as opened:
        yield opened


async def logged(world: World) -> list[str]:
    """The versionstamps of the change log, in the order of the commits, each once."""
    rows = await world.rows("SELECT versionstamp FROM kv_changes ORDER BY seq")
    return list(dict.fromkeys(str(stamp) for (stamp,) in rows))


async def check_order(world: World) -> list[str]:
    stamps = await logged(world)
    assert stamps == sorted(stamps)
    for stamp in stamps:
        assert str(uuid.UUID(stamp)) == stamp
        assert (uuid.UUID(stamp).version, uuid.UUID(stamp).variant) == (7, uuid.RFC_4122)
    return stamps


async def test_hosts_whose_clocks_differ_commit_in_order(world: World, late: World) -> None:
    told: list[str | None] = []
    for number in range(20):
        writer = (world, late)[number % 2]
        told.append((await writer.kv.set(("n", number), number)).versionstamp)
        writer.clock.advance(number % 3)
    assert await check_order(world) == told
    entries = [entry.versionstamp async for entry in world.kv.list(("n",))]
    assert entries == told


@pytest.mark.engines("sqlite", "libsql-replica", "rqlite", "postgres")
async def test_a_host_that_starts_with_its_clock_set_back_goes_on(open_store: Opening) -> None:
    async with open_store() as world:
        await world.kv.set(("a",), 1)
        told = [(await world.kv.atomic().set(("b",), 1).delete(("a",)).commit()).versionstamp]
    async with open_store() as world:
        world.clock.advance(-MINUTE)
        told += [(await world.kv.set(("c", number), number)).versionstamp for number in range(3)]
        told.append((await world.kv.atomic().commit()).versionstamp)  # nothing of it is stored
        told.append((await world.kv.set(("d",), 1)).versionstamp)
        told.append((await world.kv.atomic().enqueue("m").commit()).versionstamp)
        assert told == sorted(told)  # type: ignore[type-var] # no None among them
        assert len(set(told)) == len(told)
        await check_order(world)
    async with open_store() as world:
        world.clock.advance(-2 * MINUTE)
        newest = told[-1]
        assert newest is not None
        assert str((await world.kv.atomic().enqueue("m").commit()).versionstamp) > newest


async def test_keys_of_the_commit_have_the_stamp_that_it_has_got(world: World, late: World) -> None:
    await world.kv.set(("a",), 1)
    part = late.kv.uuidv7()
    atomic = late.kv.atomic().set(("log", part, "x", part), 1).sum((part, 5), 2).set(("plain",), 3)
    for kind in ("firm, and made again", "late"):
        result = await atomic.commit()
        stamp = str(result.versionstamp)
        assert await values(world.kv, "log") == {("log", stamp, "x", stamp): 1}, kind
        assert (await late.kv.get((stamp, 5))).value == 2
        (row,) = await world.rows(
            "SELECT key, key_json, versionstamp FROM kv_entries WHERE key_json LIKE '[\"log%'"
        )
        key = ("log", stamp, "x", stamp)
        assert row == (encode_key(key), key_to_json(key), stamp)
        changes = [change for change in await world.kv.changes() if change.versionstamp == stamp]
        assert {change.key for change in changes} == {
            encode_key(key),
            encode_key((stamp, 5)),
            encode_key(("plain",)),
        }
        await world.kv.set(("a",), 1)
        await world.kv.delete(("log",))


async def test_values_have_the_stamp_that_the_commit_has_got(world: World, late: World) -> None:
    own = late.kv.uuidv7()
    for number in range(3):
        await world.kv.set(("a",), number)
        alone = await late.kv.set(("alone",), {"id": own})
        await world.kv.set(("a",), number)
        result = await late.kv.atomic().set(("log", own), [own]).append(("all",), [own]).commit()
        stamp = str(result.versionstamp)
        assert await values(world.kv, "log") == {("log", stamp): [stamp]}
        assert (await world.kv.get(("all",))).value[-1] == stamp
        entry = await world.kv.get(("alone",))
        assert (entry.value, entry.versionstamp) == ({"id": alone.versionstamp}, alone.versionstamp)
        await world.kv.delete(("log",))
    await check_order(world)


async def test_subscribers_hear_of_the_stamps_and_keys_that_are_stored(
    world: World, late: World
) -> None:
    heard: list[Any] = []
    late.store.subscribe(lambda changes, _: heard.extend(changes))
    for number in range(3):
        await world.kv.set(("a",), number)
        await late.kv.atomic().set(("log", late.kv.uuidv7()), number).delete(("a",)).commit()
        await late.kv.set(("b", number), number)
        await late.kv.delete(("b",))
    stored = {change.seq: change for change in await world.kv.changes()}
    assert len(heard) == 3 * 4
    for change in heard:
        assert change._replace(value=None) == stored[change.seq]


async def test_a_watch_tells_the_stamps_that_are_stored(world: World, late: World) -> None:
    told: dict[Any, str | None] = {}

    async def remember(entries: list[Any]) -> None:
        told.update({entry.key: entry.versionstamp for entry in entries})

    watch = late.kv.watch([["a"], ["b"], ["c"]], remember, emit_initial=False)
    try:
        # It counts before it has found the place from which on it tells.
        await until(lambda: late.service.watches.place is not None)
        for number in range(5):
            await world.kv.set(("a", number), number)
            await late.kv.set(("b", number), number)
            await late.kv.atomic().set(("c", late.kv.uuidv7()), number).commit()
        await until(lambda: len(told) == 15)
    finally:
        await watch.stop()
    entries = {entry.key: entry.versionstamp async for entry in world.kv.list()}
    assert told == entries


@pytest.mark.engines("sqlite", "libsql")
async def test_writes_that_build_on_each_other_share_a_commit(
    world: World, late: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often others commit in between: what a group knows of its own rows is enough."""
    groups: list[int] = []
    commit_each = late.adapter.batch_each

    async def meddled(batches: Any) -> Any:
        groups.append(len(batches))
        await world.kv.set(("other", len(groups)), 1)
        return await commit_each(batches)

    monkeypatch.setattr(late.adapter, "batch_each", meddled)
    for _ in range(4):
        sums = [late.kv.atomic().sum(("n",), 1).commit() for _ in range(20)]
        results: list[CommitResult] = await asyncio.gather(*sums)
        assert all(result.ok for result in results)
    assert (await late.kv.get(("n",))).value == 80
    # The first group finds its stamps out of date; the others know that they may be.
    assert groups == [1 if late.adapter.capabilities.embedded else 20] * 5
    await check_order(world)


async def test_what_was_read_in_the_same_group_has_the_stamp_that_it_got(
    world: World, late: World
) -> None:
    key = encode_key(("n",))
    await late.kv.set(("n",), 0)
    for _ in range(2):
        await world.kv.set(("a",), 1)
        write = late.store.commit((), [make_mutation("sum", ["n"], 1, now_ms=0)], [key])
        read = late.store.commit((), [make_mutation("set", ["m"], 1, now_ms=0)], [key])
        written, seen = await asyncio.gather(write, read)
        assert written is not None
        assert seen is not None
        assert seen.rows[key].versionstamp == written.versionstamp
        assert seen.versionstamp > written.versionstamp
        assert await late.store.commit([EngineCheck(key, written.versionstamp)], []) is not None


async def test_deletes_and_expiries_are_in_order_too(world: World, late: World) -> None:
    for number in range(4):
        await world.kv.set(("a", number), number)
        await world.kv.set(("b", number), number, expires_in="10ms")
        await late.kv.delete(("a",))
        atomic = late.kv.atomic().delete(("c",)).delete(("a", number)).sum(("n",), 1)
        assert (await atomic.commit()).versionstamp == (await late.kv.get(("n",))).versionstamp
        await world.kv.set(("c",), 1)
        only = await late.kv.atomic().delete(("c",)).commit()
        (change,) = (await late.kv.changes())[-1:]
        assert (change.operation, change.versionstamp) == ("delete", only.versionstamp)
        late.clock.advance(2 * MINUTE)
        assert (await late.kv.vacuum()).count == 1
        late.clock.advance(-2 * MINUTE)
    assert len(await check_order(world)) == 4 * 7


def every_kind(kv: LocalKv, number: int) -> AsyncAtomic:
    """Commits of every kind in turn; most of them log nothing."""
    atomic = kv.atomic()
    kinds = (
        atomic.enqueue(number),
        kv.atomic().delete(("missing",)),
        kv.atomic().delete(("missing",)).delete(("also", "missing")).enqueue(number),
        kv.atomic().set(("there", number), 1),
        kv.atomic().delete(("there", number - 1)),  # the one before made it
        kv.atomic().delete(("there", number - 2)).enqueue(number),
        kv.atomic().sum(("n",), 1).enqueue(number),
        kv.atomic().set(("log", kv.uuidv7()), 1).delete(("missing",)),
    )
    return kinds[number % len(kinds)]


@pytest.mark.parametrize("step", [1, 3, 5, 8])
async def test_commits_that_log_nothing_are_in_the_order_of_all_hosts(
    world: World, late: World, step: int
) -> None:
    """`step` says which kinds follow each other, and whose they are."""
    told: list[str] = []
    for number in range(8 * step):
        writer = (world, late, late)[number % 3]
        result = await every_kind(writer.kv, number // step).commit()
        told.append(str(result.versionstamp))
        writer.clock.advance(number % 2)
    assert told == sorted(set(told))
    await check_order(world)


async def test_groups_that_log_nothing_are_in_the_order_of_all_hosts(
    world: World, late: World
) -> None:
    told: list[list[str]] = []
    for _ in range(4):
        for writer in (world, late):
            commits = [every_kind(writer.kv, number).commit() for number in range(16)]
            told.append([str(done.versionstamp) for done in await asyncio.gather(*commits)])
    for before, after in pairwise(told):
        assert max(before) < min(after)
    assert len({stamp for group in told for stamp in group}) == 4 * 2 * 16


async def test_hosts_that_only_send_at_a_time_give_no_stamp_twice(
    world: World, late: World
) -> None:
    async def send(writer: World) -> list[str]:
        commits = [await writer.kv.atomic().enqueue("m").commit() for _ in range(30)]
        return [str(done.versionstamp) for done in commits]

    told = await asyncio.gather(send(world), send(late), send(world))
    stamps = [stamp for each in told for stamp in each]
    assert len(set(stamps)) == len(stamps)
    for each in told:
        assert each == sorted(each)
    newest = (await late.kv.set(("a",), 1)).versionstamp
    assert str(newest) > max(stamps)


async def test_a_repetition_tells_the_stamp_that_the_commit_has_got(
    world: World, late: World
) -> None:
    """Whether an entry, the log, or nothing but the messages tells of it."""
    for number in range(16):
        await world.kv.set(("a",), number)
        first = await every_kind(late.kv, number).commit(idempotency_key=f"k{number}")
        await world.kv.set(("a",), number)
        again = await every_kind(late.kv, number).commit(idempotency_key=f"k{number}")
        assert again == first


async def test_commits_of_one_process_that_change_no_entry_are_in_order(
    world: World, late: World
) -> None:
    before = str((await late.kv.set(("a",), 0)).versionstamp)
    for _ in range(3):
        for number in range(3):  # far enough ahead of what it learned when it began
            await world.kv.set(("a",), number)
        await late.kv.set(("a",), 2)
        await world.kv.set(("a",), 3)
        results = await asyncio.gather(
            late.kv.set(("b",), 1),
            late.kv.atomic().commit(),
            late.kv.atomic().enqueue("m").commit(),
            late.kv.atomic().delete(("missing",)).commit(),
            late.kv.set(("c",), 1),
        )
        told = [str(result.versionstamp) for result in results]
        assert [before, *told] == sorted({before, *told})
        before = told[-1]


async def test_the_usual_way_is_tried_again_after_a_while(
    world: World, late: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_module, "LATE_GROUPS", 3)
    await world.kv.set(("a",), 1)
    for number in range(10):
        await late.kv.set(("b", number), number)
    await world.kv.set(("a",), 1)
    await late.kv.set(("c",), 1)
    await check_order(world)


@pytest.mark.parametrize(
    "foreign",
    [
        "not-a-uuid",
        "zzz",
        "",
        stamp_of(NOW_MS + MINUTE).upper(),
        "ffffffff-ffff-7fff-bfff-ffffffffffff",
        "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    ],
)
async def test_a_stamp_of_another_kind_in_the_log_stops_nobody(world: World, foreign: str) -> None:
    first = (await world.kv.set(("a",), 1)).versionstamp
    await world.adapter.execute(LOG, (FOREIGN, foreign))
    told = [(await world.kv.set(("b", number), number)).versionstamp for number in range(3)]
    assert [first, *told] == sorted({first, *told})  # type: ignore[type-var] # no None among them
    assert [entry.versionstamp async for entry in world.kv.list(("b",))] == told


@pytest.mark.engines("sqlite", "libsql-replica")
@pytest.mark.parametrize("where", ["entry", "log"])
async def test_an_older_store_goes_on_behind_its_greatest_stamp(
    open_store: Opening, open_older_store: Older, where: str
) -> None:
    """Before, a clock that was set back let stamps fall: the newest was not the greatest."""
    greatest = stamp_of(NOW_MS + 5 * MINUTE)
    async with open_older_store(6) as world:
        await world.adapter.execute(LOG, (FOREIGN, greatest if where == "log" else "v1"))
        await world.adapter.execute(LOG, (FOREIGN, stamp_of(NOW_MS)))
        for name, stamp in (("a", greatest if where == "entry" else "x"), ("b", "~foreign")):
            await world.adapter.execute(
                "INSERT INTO kv_entries (key, key_json, value, versionstamp) VALUES (?, ?, '1', ?)",
                (encode_key((name,)), key_to_json((name,)), stamp),
            )
    async with open_store() as world:
        told = [(await world.kv.set(("c", number), 1)).versionstamp for number in range(3)]
        assert [greatest, *told] == sorted({greatest, *told})  # type: ignore[type-var] # no None


async def test_a_group_that_fails_in_part_keeps_its_order(world: World, late: World) -> None:
    await world.kv.set(("a",), 1)
    stale = writes.commit(
        [EngineCheck(encode_key(("a",)), stamp_of(NOW_MS))],
        [make_mutation("set", ["x"], 1, now_ms=0)],
    )
    results = await asyncio.gather(
        late.store.write(stale),
        late.kv.set(("b",), 1),
        late.store.write(stale),
        late.kv.atomic().sum(("b",), 1).commit(),
    )
    assert results[0] is None
    assert results[2] is None
    assert (await world.kv.get(("b",))).value == 2
    await check_order(world)
