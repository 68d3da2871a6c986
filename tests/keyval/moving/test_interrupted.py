"""A move that was killed goes on, or is given up, and never leaves a store shut."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from buntime_keyval import ServiceUnavailable
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.features.moving import mover
from buntime_plugin_keyval.features.moving.checks import MoveRefused, abort, check_move
from buntime_plugin_keyval.features.moving.mover import MoveStep
from buntime_plugin_keyval.storage.database import database_of
from buntime_plugin_keyval.storage.moves import (
    MoveState,
    StoreIncomplete,
    check_complete,
    read_mark,
)
from keyval.moving.support import NAMES, content, fill, mover_of, open_store
from keyval.service.world import FAST, World

pytestmark = pytest.mark.slow

KILLED = 9
DIES = """
import asyncio, os
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.features.moving import copying
from buntime_plugin_keyval.features.moving.mover import StoreMover
from buntime_plugin_keyval.storage.database import database_of

copying.PAGE = 10

async def main():
    def tell(step):
        if step.what == {what!r} and step.done >= {done}:
            os._exit(9)
    source, target = (SqliteAdapter(path) for path in ({source!r}, {target!r}))
    await StoreMover(database_of(source), database_of(target), {names!r}, tell).run()

asyncio.run(main())
"""


@pytest.fixture
async def old(tmp_path: Path) -> AsyncIterator[World]:
    async with open_store(SqliteAdapter(str(tmp_path / "a.db"), options=FAST)) as world:
        await fill(world)
        yield world


@pytest.fixture
async def target(tmp_path: Path) -> AsyncIterator[SqliteAdapter]:
    adapter = SqliteAdapter(str(tmp_path / "b.db"), options=FAST)
    yield adapter
    await adapter.close()


async def die_at(folder: Path, what: str, done: int = 0) -> None:
    """Move the store in another process, which is gone when it tells of that."""
    paths = {name: str(folder / f"{file}.db") for name, file in (("source", "a"), ("target", "b"))}
    code = DIES.format(what=what, done=done, names=NAMES, **paths)
    run = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code], capture_output=True, timeout=60, check=False
    )
    assert run.returncode == KILLED, run.stderr.decode()


@pytest.mark.parametrize(
    ("what", "done"), [("entries", 20), ("compared", 1), ("closed", 0), ("complete", 0)]
)
async def test_a_move_that_was_killed_goes_on(
    old: World, target: SqliteAdapter, tmp_path: Path, what: str, done: int
) -> None:
    await die_at(tmp_path, what, done)
    with pytest.raises(StoreIncomplete):
        await check_complete(database_of(target))
    if what in ("entries", "compared"):
        await old.kv.set(["meanwhile"], 1)
    seen: list[MoveStep] = []
    await mover_of(old.adapter, target, seen.append).run()
    assert await content(database_of(target)) == await content(database_of(old.adapter))
    copied = [step.done for step in seen if step.what == "entries"]
    assert not copied or copied[0] > done
    await check_complete(database_of(target))


async def test_a_store_that_its_mover_left_shut_opens_by_itself(
    old: World, target: SqliteAdapter, tmp_path: Path
) -> None:
    await die_at(tmp_path, "closed")
    with pytest.raises(ServiceUnavailable) as refused:
        await old.kv.set(["a"], 1)
    assert (refused.value.code, refused.value.retry_after) == ("KEYVAL_MOVING", 1)
    with pytest.raises(ServiceUnavailable):
        await old.kv.create_index(["n"], fields=["text"])
    assert await old.kv.get(["n", 1]) is not None
    mark = await read_mark(old.store.db)
    assert mark is not None
    old.clock.step(mark.ends_at)
    await old.kv.set(["a"], 1)
    assert (await read_mark(old.store.db))[1] is MoveState.COPYING  # type: ignore[index] # it has one
    await mover_of(old.adapter, target).run()
    assert await content(database_of(target)) == await content(database_of(old.adapter))


@pytest.mark.parametrize("what", ["entries", "closed", "complete"])
async def test_a_move_that_is_given_up_leaves_the_store_open_and_the_target_empty(
    old: World, target: SqliteAdapter, tmp_path: Path, what: str
) -> None:
    await die_at(tmp_path, what)
    assert await abort(old.store.db, database_of(target))
    assert not await abort(old.store.db, database_of(target))
    await old.kv.set(["a"], 1)
    await mover_of(old.adapter, target).run()  # from the beginning
    assert await content(database_of(target)) == await content(database_of(old.adapter))


async def test_a_failure_while_it_is_closed_opens_the_store(
    old: World, target: SqliteAdapter, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object) -> None:
        raise mover.MoveFailed("as if something else had written")

    monkeypatch.setattr(mover.StoreMover, "_copy_last", fail)
    with pytest.raises(mover.MoveFailed):
        await mover_of(old.adapter, target).run()
    await old.kv.set(["a"], 1)


async def test_what_cannot_be_moved_is_refused(
    old: World, target: SqliteAdapter, tmp_path: Path
) -> None:
    async def refusal(source: SqliteAdapter, target: SqliteAdapter) -> str:
        sides = database_of(source), database_of(target)
        with pytest.raises(MoveRefused) as refused:
            await check_move(*sides, NAMES, without_indexes=False)
        return str(refused.value)

    assert "no store in source" in await refusal(target, old.adapter)
    assert "not empty: it has 43 entries" in await refusal(old.adapter, old.adapter)
    await mover_of(old.adapter, target).run()
    assert "already moved to target" in await refusal(old.adapter, target)
    assert "not empty: it still has the store" in await refusal(target, old.adapter)
    with pytest.raises(MoveRefused, match="was moved"):
        await abort(old.store.db, database_of(target))
    third = SqliteAdapter(str(tmp_path / "c.db"), options=FAST)
    async with open_store(third) as full:
        await full.kv.set(["a"], 1)
        assert "not empty" in await refusal(target, third)


@pytest.mark.parametrize("when", ["entries", "compared", "closing", "closed", "complete"])
async def test_of_two_movers_the_later_one_goes_on_and_the_other_writes_nothing(
    old: World, target: SqliteAdapter, tmp_path: Path, when: str
) -> None:
    paths = [str(tmp_path / name) for name in ("a.db", "b.db")]
    is_there, goes_on = threading.Event(), threading.Event()

    def tell(step: MoveStep) -> None:
        if step.what == when and not is_there.is_set():
            is_there.set()
            assert goes_on.wait(60)

    async def move_first() -> object:
        """In a thread, which stands still where the other one overtakes it."""
        adapters = [SqliteAdapter(path, options=FAST) for path in paths]
        try:
            return await mover_of(adapters[0], adapters[1], tell).run()
        except MoveRefused as refused:
            return str(refused)
        finally:
            for adapter in adapters:
                await adapter.close()

    first = asyncio.create_task(asyncio.to_thread(lambda: asyncio.run(move_first())))
    try:
        assert await asyncio.to_thread(is_there.wait, 60)
        await mover_of(old.adapter, target).run()
        async with open_store(SqliteAdapter(paths[1], options=FAST)) as new:
            await new.kv.set(["n", 1], "written after the move")
            await new.kv.delete(["n", 2])
            await new.kv.enqueue("after the move")
            before = await content(new.store.db)
            goes_on.set()
            outcome = await first
            assert await content(new.store.db) == before
    finally:
        goes_on.set()
    if when != "complete":
        assert "another process is moving this store" in str(outcome)
    await check_complete(database_of(target))
    mark = await read_mark(database_of(old.adapter))
    assert mark is not None
    assert mark.state is MoveState.MOVED


async def test_an_empty_store_is_not_moved_to_itself(tmp_path: Path) -> None:
    async with open_store(SqliteAdapter(str(tmp_path / "a.db"), options=FAST)) as world:
        with pytest.raises(MoveRefused, match="the same one"):
            await mover_of(world.adapter, world.adapter).run()
        await world.kv.set(["a"], 1)
        assert await read_mark(world.store.db) is None


async def test_a_store_is_not_closed_for_longer_than_it_may_be(
    old: World, target: SqliteAdapter
) -> None:
    with pytest.raises(mover.MoveFailed, match="--max-pause"):
        await mover_of(old.adapter, target, max_pause=0).run()
    await old.kv.set(["a"], 1)
    await mover_of(old.adapter, target).run()
    assert await content(database_of(target)) == await content(database_of(old.adapter))


async def test_results_that_were_forgotten_meanwhile_are_forgotten_there(
    old: World, target: SqliteAdapter
) -> None:
    with pytest.raises(mover.MoveFailed):
        await mover_of(old.adapter, target, max_pause=0).run()
    for number in range(3):
        await old.kv.atomic().sum(["counted"], 1).commit(idempotency_key=f"late-{number}")
    await old.plain.execute("DELETE FROM kv_replays WHERE seq <= 2")
    await mover_of(old.adapter, target).run()
    after = await content(database_of(target))
    assert len(after["replays"]) == 2
    assert after == await content(database_of(old.adapter))
