"""A server that is killed while others write: what was answered is there, once, and no more.

One of the writers takes its time between its write and its commit.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable

import buntime_database
from buntime_database import DatabaseUnavailable
from buntime_keyval import OutcomeUnknown
from buntime_keyval.wire.keys import Key
from buntime_plugin_keyval.model.clock import SystemClock
from keyval.postgres.support import open_postgres_world, write_slowly
from keyval.service.world import World, until
from support.postgres import Postgres, running_postgres

KILLS = int(os.environ.get("POSTGRES_KILLS", "2"))
WRITERS = 16
WRITES_BETWEEN = 150
WATCHED = "w"


class Ledger:
    """What writers were told."""

    def __init__(self) -> None:
        self.written: set[Key] = set()
        self.refused: set[Key] = set()
        self.unknown = 0
        self.is_over = False
        self.working = WRITERS + 1
        """Writers that have not heard of the end."""

    def more(self) -> Callable[[], bool]:
        """Whether so many more are written than now."""
        enough = len(self.written) + WRITES_BETWEEN
        return lambda: len(self.written) >= enough


async def write(world: World, ledger: Ledger, worker: int) -> None:
    number = 0
    while not ledger.is_over:
        number += 1
        key = (WATCHED, worker, number)
        try:
            committed = await world.kv.atomic().set(key, number).sum(("n",), 1).commit()
        except DatabaseUnavailable:
            ledger.refused.add(key)
            await asyncio.sleep(0.02)
        except OutcomeUnknown:
            ledger.unknown += 1
        else:
            assert committed.ok
            ledger.written.add(key)
    ledger.working -= 1


async def write_slowly_on(world: World, ledger: Ledger) -> None:
    number = 0
    while not ledger.is_over:
        number += 1
        key = (WATCHED, "slow", number)
        try:
            await write_slowly(world, key, world.clock.now())
        except DatabaseUnavailable:
            ledger.refused.add(key)
            await asyncio.sleep(0.02)
        except buntime_database.OutcomeUnknown:
            ledger.unknown += 1
        else:
            ledger.written.add(key)
    ledger.working -= 1


async def kill(server: Postgres, ledger: Ledger) -> None:
    for _ in range(KILLS):
        await until(ledger.more())
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
    await until(ledger.more())
    ledger.is_over = True


async def follow(world: World, ledger: Ledger) -> Counter[bytes]:
    """Every change of the log, as one sees it who reads it page by page while others write."""
    seen: Counter[bytes] = Counter()
    place = 0
    while True:
        is_last = ledger.working == 0
        try:
            changes = await world.store.changes(place, limit=50, fresh=True)
        except DatabaseUnavailable:
            await asyncio.sleep(0.01)
            continue
        if not changes and is_last:
            return seen
        for change in changes:
            seen[change.key] += 1
            place = change.seq
        await asyncio.sleep(0.005)


async def test_nothing_is_lost_and_nothing_done_twice() -> None:
    ledger = Ledger()
    with running_postgres({"fsync": "on"}) as server:
        async with (
            open_postgres_world(server.url, SystemClock()) as one,  # type: ignore[arg-type] # a real one
            open_postgres_world(server.url, SystemClock()) as other,  # type: ignore[arg-type] # as above
        ):
            async with asyncio.TaskGroup() as tasks:
                for worker in range(WRITERS):
                    tasks.create_task(write((one, other)[worker % 2], ledger, worker))
                tasks.create_task(write_slowly_on(other, ledger))
                tasks.create_task(kill(server, ledger))
                following = tasks.create_task(follow(other, ledger))
            there = {entry.key async for entry in one.kv.list((WATCHED,))}
            assert ledger.written <= there
            assert not ledger.refused & there
            assert len(there - ledger.written) <= ledger.unknown
            counted = (await one.kv.get(("n",))).value
            slow = {key for key in there if key[1] == "slow"}
            assert counted == len(there - slow)
            assert slow & ledger.written
            rows = await one.rows("SELECT key, count(*) FROM kv_changes GROUP BY key")
            assert {bytes(key): number for key, number in rows} == following.result()
            print(
                f"{KILLS} kills, {len(there)} written, {len(slow)} of them slowly,"
                f" {len(ledger.refused)} refused,"
                f" {ledger.unknown} unknown"
            )
