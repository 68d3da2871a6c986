"""One host takes its time between its write and its commit: whoever reads on misses nothing."""

from __future__ import annotations

import asyncio

import pytest
from buntime_keyval.wire import encode_key
from keyval.postgres.support import write_slowly
from keyval.service.world import NOW_MS, World, until

pytestmark = pytest.mark.engines("postgres")

ROUNDS = 3
FAST = 8


async def test_readers_of_the_log_and_watchers_see_every_change(world: World, other: World) -> None:
    wanted = {("slow", number) for number in range(ROUNDS)} | {
        ("fast", number, writer) for number in range(ROUNDS) for writer in range(FAST)
    }
    logged: list[bytes] = []
    watched: set[tuple[object, ...]] = set()
    is_over = False

    async def follow() -> None:
        place = 0
        while True:
            is_last = is_over
            changes = await world.store.changes(place, limit=3, fresh=True)
            if not changes and is_last:
                return
            logged.extend(change.key for change in changes)
            place = changes[-1].seq if changes else place
            await asyncio.sleep(0.001)

    watch = world.kv.watch([("slow",), ("fast",)])

    async def see() -> None:
        async for entries in watch:
            watched.update(entry.key for entry in entries)

    following = asyncio.create_task(follow())
    seeing = asyncio.create_task(see())
    hub = world.service.watches
    await until(lambda: hub.watcher_count == 1 and hub.place is not None)
    for number in range(ROUNDS):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write_slowly(other, ("slow", number), NOW_MS))
            for writer in range(FAST):
                host = (world, other)[writer % 2]
                tasks.create_task(host.kv.set(("fast", number, writer), 1))
    is_over = True
    await following
    await until(lambda: wanted <= watched)
    await watch.stop()
    await seeing
    assert sorted(logged) == sorted(encode_key(key) for key in wanted)
    stamps = await world.rows("SELECT versionstamp FROM kv_changes ORDER BY seq")
    assert stamps == sorted(set(stamps))
