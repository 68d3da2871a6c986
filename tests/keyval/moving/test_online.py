"""A store is used while it is moved: nothing that was acknowledged is lost, and nothing doubled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Adapter
from buntime_keyval import ServiceUnavailable
from buntime_plugin_keyval.features.moving import copying, mover
from buntime_plugin_keyval.features.moving.mover import MoveStep
from buntime_plugin_keyval.storage.changelog import knows, newest_place
from buntime_plugin_keyval.storage.database import database_of
from keyval.engines import Servers
from keyval.moving.support import content, mover_of, open_database, open_store
from keyval.service.world import World, values
from support.beside import opened_beside
from support.waiting import until

slow = pytest.mark.slow
PAIRS = [
    pytest.param("sqlite", "sqlite"),
    pytest.param("sqlite", "postgres", marks=slow),
    pytest.param("postgres", "sqlite", marks=slow),
    pytest.param("sqlite", "rqlite", marks=slow),
]
ENTRIES = 300
WRITERS = 4


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small store is moved as a large one is."""
    monkeypatch.setattr(copying, "PAGE", 20)
    monkeypatch.setattr(mover, "LOG_PAGE", 100)
    monkeypatch.setattr(mover, "COMPARED", 50)
    monkeypatch.setattr(mover, "SMALL", 0)
    monkeypatch.setattr(mover, "FOLLOWED_PAGES", 3)


@pytest.fixture
def open_side(database_servers: Servers, tmp_path: Path) -> Callable[[str, str], Adapter]:
    return lambda engine, name: open_database(database_servers, engine, tmp_path, name)


class Load:
    """Writers, and what they were told was written."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sums = 0
        self.set: dict[tuple[Any, ...], int] = {}
        self.sent: set[str] = set()
        self.taken: set[str] = set()
        self.codes: set[str | None] = set()

    async def run(self, writer: int) -> None:
        kv, queue = self._world.kv, self._world.service.queue
        number = 0
        try:
            while True:
                number += 1
                await asyncio.sleep(0.002)  # or nobody could follow, since all share one thread
                await kv.atomic().sum(["sum"], 1).commit()
                self.sums += 1
                key = ("w", writer, number % 50)
                await kv.set(key, number)
                self.set[key] = number
                if number % 3 == 0:
                    await kv.delete(["n", number * WRITERS + writer])
                    self.sent.add((await kv.enqueue(f"{writer} {number}")).id)
                if number % 5 == 0 and (message := await queue.take()) is not None:
                    await queue.ack(message.id, lease=message.lease)
                    self.taken.add(message.id)
        except ServiceUnavailable as error:
            self.codes.add(error.code)


@pytest.mark.parametrize(("here", "there"), PAIRS)
async def test_writes_meanwhile_come_over(
    open_side: Callable[[str, str], Adapter], here: str, there: str
) -> None:
    async with open_store(open_side(here, "a")) as old:
        for number in range(ENTRIES):
            await old.kv.set(["n", number], number)
        load = Load(old)
        place = await newest_place(old.store.db)
        target = open_side(there, "b")
        async with asyncio.TaskGroup() as tasks:
            for writer in range(WRITERS):
                tasks.create_task(load.run(writer))
            await until(lambda: load.sums)  # on a busy machine all could be over before
            moved = await mover_of(old.adapter, target).run()
        assert load.codes <= {"KEYVAL_MOVING", "KEYVAL_MOVED"}
        before = await content(database_of(old.adapter))
        after = await content(database_of(target))
        for name, rows in before.items():
            assert (name, after[name]) == (name, rows)
        assert moved.hashes >= ENTRIES / 50
    async with open_store(target) as new:
        assert await knows(new.store.db, place)  # so a watcher goes on behind its bookmark
        entry = await new.kv.get(["sum"])
        assert entry is not None
        assert entry.value == load.sums
        found = await values(new.kv, "w")
        assert {key: found[key] for key in load.set} == load.set
        waiting = {str(row[1]) for row in after["messages"].values()}
        assert load.sent - load.taken <= waiting
        assert not load.taken & waiting


async def test_it_begins_anew_where_the_log_is_trimmed_too_far(
    open_side: Callable[[str, str], Adapter], tmp_path: Path
) -> None:
    async with open_store(open_side("sqlite", "a")) as old:
        for number in range(ENTRIES):
            await old.kv.set(["n", number], number)
        seen: list[int] = []

        def trim_once(step: MoveStep) -> None:
            if step.what == "entries":
                if len(seen) == 3:
                    change_and_trim(tmp_path / "a.db")
                seen.append(step.done)

        target = open_side("sqlite", "b")
        await mover_of(old.adapter, target, trim_once).run()
        assert seen != sorted(seen)
        before = await content(database_of(old.adapter))
        after = await content(database_of(target))
        assert after == before
        await target.close()


def change_and_trim(file: Path) -> None:
    """Let a change be forgotten before anybody else has seen it."""
    with opened_beside(file) as database:
        database.execute(
            """
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT key, versionstamp, 'set', 0 FROM kv_entries ORDER BY key DESC LIMIT 2;
UPDATE kv_log SET trimmed_seq = (SELECT max(seq) - 1 FROM kv_changes);
DELETE FROM kv_changes WHERE seq <= (SELECT trimmed_seq FROM kv_log)"""
        )


async def test_what_was_changed_past_the_log_is_found_and_copied_again(
    open_side: Callable[[str, str], Adapter], tmp_path: Path
) -> None:
    async with open_store(open_side("sqlite", "a")) as old:
        for number in range(ENTRIES):
            await old.kv.set(["n", number], number)
        changed: list[MoveStep] = []

        def change_once(step: MoveStep) -> None:
            if step.what == "entries" and step.done == ENTRIES and not changed:
                changed.append(step)
                with opened_beside(tmp_path / "a.db") as database:
                    database.execute(
                        "UPDATE kv_entries SET value = '-1' WHERE value IN ('7', '290')"
                    )

        target = open_side("sqlite", "b")
        moved = await mover_of(old.adapter, target, change_once).run()
        assert moved.repaired == 2
        assert await content(database_of(target)) == await content(database_of(old.adapter))
        await target.close()


async def test_the_log_is_followed_while_all_is_compared(
    open_side: Callable[[str, str], Adapter], tmp_path: Path
) -> None:
    async with open_store(open_side("sqlite", "a")) as old:
        for number in range(ENTRIES):
            await old.kv.set(["n", number], number)
        told: list[str] = []

        def change_once(step: MoveStep) -> None:
            told.append(step.what)
            if told.count("compared") == 1 and step.what == "compared":
                with opened_beside(tmp_path / "a.db") as database:
                    database.execute(
                        """
INSERT INTO kv_changes (key, versionstamp, operation, at)
SELECT key, versionstamp, 'set', 0 FROM kv_entries ORDER BY key LIMIT 1"""
                    )

        target = open_side("sqlite", "b")
        await mover_of(old.adapter, target, change_once).run()
        assert told[told.index("compared") + 1] == "changes"
        await target.close()
