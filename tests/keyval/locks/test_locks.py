"""Locks of one store, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from buntime_keyval import InvalidInput, LockGrant, LockHeld, LockLost, ServiceUnavailable
from buntime_plugin_keyval.features.locks import waiting as calls
from buntime_plugin_keyval.features.locks.locks import KEPT_MS, WantedLock
from buntime_plugin_keyval.features.locks.waiting import SILENT_MS, STAY_MS
from keyval.service.world import World, until

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")


@pytest.fixture
async def passing(world: World) -> AsyncIterator[World]:
    """A store whose locks are passed on."""
    world.service.locking.start()
    yield world
    await world.service.locking.close()


async def waiting(world: World, number: int) -> None:
    """Until so many have a place in a line."""

    async def are_in_line() -> bool:
        return await world.rows("SELECT count(*) FROM kv_lock_waiters") == [(number,)]

    await until(are_in_line)


async def line_up(world: World, *owners: str) -> list[asyncio.Task[LockGrant]]:
    """Have owners wait for the lock a, one behind the other."""
    tasks = []
    for number, owner in enumerate(owners, 1):
        acquire = world.kv.locks.acquire("a", owner, wait="1m")
        tasks.append(asyncio.create_task(acquire))
        await waiting(world, number)
    return tasks


async def test_one_has_it_at_a_time(world: World) -> None:
    locks = world.kv.locks
    first = await locks.acquire("a", "w1", duration="10s", metadata={"job": 7})
    assert first.expires_at == world.clock.wall() + 10_000
    with pytest.raises(LockHeld, match="The lock a is held by w1"):
        await locks.acquire("a", "w2")
    found = await locks.get("a")
    assert found is not None
    assert (found.owner, found.token, found.metadata) == ("w1", first.token, {"job": 7})
    assert not await locks.release("a", "w2")
    assert not await locks.release("a", "w1", token="another")
    assert await locks.release("a", "w1", token=first.token)
    assert await locks.get("a") is None
    assert not await locks.release("a", "w1")
    second = await locks.acquire("a", "w2")
    assert second.token > first.token
    found = await locks.get("a")
    assert found is not None
    assert found.metadata is None


async def test_the_same_owner_prolongs_and_keeps_the_token(world: World) -> None:
    locks = world.kv.locks
    first = await locks.acquire("a", "w1", duration="10s", metadata="mine")
    world.clock.advance(9_000)
    again = await locks.acquire("a", "w1", duration="10s")
    assert (again.token, again.expires_at) == (first.token, first.expires_at + 9_000)
    world.clock.advance(9_000)
    third = await locks.renew("a", "w1", first.token, duration="20s")
    assert (third.token, third.expires_at) == (first.token, world.clock.wall() + 20_000)
    found = await locks.get("a")
    assert found is not None
    assert (found.acquired_at, found.metadata) == (first.expires_at - 10_000, "mine")


async def test_it_ends_to_the_millisecond(world: World) -> None:
    locks = world.kv.locks
    first = await locks.acquire("a", "w1", duration="10s")
    world.clock.advance(9_999)
    with pytest.raises(LockHeld):
        await locks.acquire("a", "w2")
    world.clock.advance(1)
    assert await locks.get("a") is None
    assert await locks.list() == []
    with pytest.raises(LockLost):
        await locks.renew("a", "w1", first.token)
    second = await locks.acquire("a", "w1")
    assert second.token > first.token
    with pytest.raises(LockLost):
        await locks.renew("a", "w1", first.token)


async def test_one_that_is_over_before_the_answer_was_given_all_the_same(
    passing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks, clock = passing.kv.locks, passing.clock
    held = await locks.acquire("b", "w1")

    def now() -> int:
        clock.advance(1)
        return clock.now_ms

    monkeypatch.setattr(clock, "now", now)
    tokens = [
        (await locks.acquire("a", "w1", duration="0.5ms")).token,
        (await locks.acquire("a", "w1", duration=0.0001)).token,
        (await locks.acquire("a", "w2", duration=1, wait="1m")).token,
        (await locks.steal("a", "w3", duration=1)).token,
    ]
    assert tokens == sorted(set(tokens))
    assert (await locks.renew("b", "w1", held.token, duration=1)).token == held.token
    await locks.acquire("a", "w0", duration="1h")
    short = asyncio.create_task(locks.acquire("a", "w2", duration=1, wait="1m"))
    await waiting(passing, 1)
    await locks.release("a", "w0")
    assert (await short).token > tokens[-1]


async def test_a_commit_checks_that_it_is_held(world: World) -> None:
    kv, locks = world.kv, world.kv.locks
    held = await locks.acquire("a", "w1", duration="10s")

    async def write(name: str, token: str) -> bool:
        return (await kv.atomic().check_lock(name, token).sum(["n"], 1).commit()).ok

    assert await write("a", held.token)
    assert not await write("a", "another")
    assert not await write("b", held.token)
    async with kv.begin() as tx:
        tx.check_lock("a", held.token)
        tx.set(["in", "a", "transaction"], 1)
    world.clock.advance(10_000)
    assert not await write("a", held.token)
    taken = await locks.acquire("a", "w2")
    assert not await write("a", held.token)
    assert await write("a", taken.token)
    stolen = await locks.steal("a", "w3")
    assert stolen.token > taken.token
    assert not await write("a", taken.token)
    assert (await kv.get(["n"])).value == 2


async def test_who_waits_is_served_in_order(passing: World) -> None:
    locks = passing.kv.locks
    held = await locks.acquire("a", "w0")
    tasks = await line_up(passing, "w1", "w2", "w3")
    found = await locks.get("a")
    assert found is not None
    assert found.waiting == 3
    tokens = [held.token]
    for number, task in enumerate(tasks):
        assert await locks.release("a", f"w{number}")
        with pytest.raises(LockHeld):  # it is not for those who come by
            await locks.acquire("a", "w4")
        tokens.append((await task).token)
        assert [it.done() for it in tasks] == [place <= number for place in range(3)]
    assert tokens == sorted(tokens)


async def test_who_has_a_lock_prolongs_it_before_those_who_wait(passing: World) -> None:
    locks = passing.kv.locks
    held = await locks.acquire("a", "w0", duration="5s")
    (task,) = await line_up(passing, "w1")
    passing.clock.advance(4_000)
    again = await locks.acquire("a", "w0", duration="5s")
    assert (again.token, again.expires_at) == (held.token, held.expires_at + 4_000)
    assert await locks.release("a", "w0", token=held.token)
    assert (await task).token > held.token


async def test_the_end_of_a_lock_wakes_the_first_in_line(passing: World) -> None:
    locks = passing.kv.locks
    await locks.acquire("a", "w0", duration="5s")
    first, second = await line_up(passing, "w1", "w2")
    passing.clock.advance(5_000)
    passing.service.locking.locks.loop.wake()
    await first
    assert not second.done()
    second.cancel()
    await waiting(passing, 0)


async def test_who_gives_up_leaves_the_line(passing: World) -> None:
    locks = passing.kv.locks
    await locks.acquire("a", "w0")
    first, second = await line_up(passing, "w1", "w2")
    first.cancel()
    await waiting(passing, 1)
    with pytest.raises(LockHeld, match="held by w0"):
        await locks.acquire("a", "w3", wait=1)
    await waiting(passing, 1)
    await locks.release("a", "w0")
    await second


async def test_a_lock_that_came_too_late_goes_on(passing: World) -> None:
    """It was given in the moment in which its waiter went away."""
    locks = passing.kv.locks
    await locks.acquire("a", "w0")
    first, second = await line_up(passing, "w1", "w2")
    await locks.release("a", "w0")
    if not first.cancel():  # it was told before
        await locks.release("a", "w1")
    await second


async def test_who_is_cancelled_takes_back_what_he_asked_for(passing: World) -> None:
    """At whatever moment that is, but for what he had before."""
    locks = passing.kv.locks

    async def try_for(name: str, owner: str, turns: int) -> bool:
        """Ask for a lock, and be cancelled so soon; whether it was given before that."""
        task = asyncio.create_task(locks.acquire(name, owner, duration="1h", wait="1m"))
        for _ in range(turns):
            await asyncio.sleep(0)
        is_given = not task.cancel()
        await asyncio.wait({task})
        return is_given

    async def is_free() -> bool:
        return await locks.get("b") is None

    held = await locks.acquire("a", "w0", duration="1h")
    for turns in (*range(12), 50):
        await try_for("a", "w0", turns)
        await try_for("a", "w1", turns)
        await waiting(passing, 0)
        if await try_for("b", "w1", turns):
            await locks.release("b", "w1")
        await until(is_free)
    found = await locks.get("a")
    assert found is not None
    assert (found.owner, found.token) == ("w0", held.token)


@pytest.mark.parametrize("way", ["acquire", "steal"])
async def test_who_is_cancelled_and_does_not_wait_has_nothing(passing: World, way: str) -> None:
    locks = passing.kv.locks

    async def is_free() -> bool:
        return await locks.get("a") is None

    for turns in range(12):
        task = asyncio.create_task(getattr(locks, way)("a", "w1", duration="1h"))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not task.cancel():
            await locks.release("a", "w1")
        await asyncio.wait({task})
        await until(is_free)


async def test_a_lock_that_is_given_back_is_not_one_that_was_prolonged_since(
    passing: World,
) -> None:
    desk, wanted = passing.service.locking.locks, WantedLock("a", "w1", 10_000)
    granted = await desk.acquire(wanted)
    passing.clock.advance(1)
    again = await desk.acquire(wanted)
    desk.give_back(wanted, again)
    desk.give_back(wanted, granted)
    assert (await desk.renew(wanted, granted.token)).token == granted.token
    await desk.release("a", "w1")
    newer = await desk.acquire(wanted)
    desk.give_back(wanted, granted)
    assert (await desk.renew(wanted, newer.token)).token == newer.token


async def test_a_place_that_was_kept_ends_unless_it_is_asked_for(
    passing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the process has others to look after."""
    monkeypatch.setattr(calls, "REFRESH_SECONDS", 0.0)
    desk = passing.service.locking.locks
    await passing.kv.locks.acquire("a", "w0", duration="1h")
    with pytest.raises(LockHeld):
        await desk.acquire(WantedLock("a", "gone", 3_600_000), 1, keeps_place=True)
    task = asyncio.create_task(passing.kv.locks.acquire("a", "w1", wait="1m"))
    await waiting(passing, 2)
    passing.clock.advance(STAY_MS)
    desk.loop.wake()

    async def is_prolonged() -> bool:
        lasting = "SELECT owner FROM kv_lock_waiters WHERE until > ?"
        return await passing.rows(lasting, passing.clock.now()) == [("w1",)]

    await until(is_prolonged)
    await passing.kv.locks.release("a", "w0")
    assert (await task).token


async def test_nobody_waits_who_has_it(passing: World) -> None:
    await passing.kv.locks.acquire("a", "w0", wait="1m")
    assert passing.service.locking.locks.waiting == 0


async def test_a_place_whose_process_has_died_counts_no_more(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = world.kv.locks
    await locks.acquire("a", "w0")
    (task,) = await line_up(world, "w1")
    # Nothing runs here that says a word of the place.
    await locks.release("a", "w0")
    assert await locks.release("a", "w1")
    task.cancel()
    await asyncio.wait({task})
    await waiting(world, 0)
    place = world.service.locking.locks
    await locks.acquire("a", "w0", duration="1h")
    (task,) = await line_up(world, "w1")
    # Or it might say that it is still there; who is in line by now may not have started it yet.
    monkeypatch.setattr(place.loop, "start", lambda: None)
    await place.loop.stop()
    world.clock.advance(SILENT_MS)
    await locks.release("a", "w0")
    assert (await locks.acquire("a", "w2")).token
    task.cancel()
    await asyncio.wait({task})
    await place.close()


async def test_who_waits_while_the_host_stops_is_told_and_keeps_the_place(passing: World) -> None:
    locks = passing.kv.locks
    await locks.acquire("a", "w0")
    (task,) = await line_up(passing, "w1")
    passing.service.locking.locks.end_waits()
    with pytest.raises(ServiceUnavailable, match=r"This host is stopping .* lock a; .* try again"):
        await task
    with pytest.raises(ServiceUnavailable, match="This host is stopping"):
        await locks.acquire("a", "w2", wait="1m")
    await locks.release("a", "w0")
    found = await locks.get("a")
    assert found is not None
    assert (found.owner, found.waiting) == ("w1", 1)


async def test_who_comes_back_from_a_process_that_has_died_has_the_place_still(
    world: World,
) -> None:
    """It takes a while until there is another one in its stead."""
    locks = world.kv.locks
    await locks.acquire("a", "w0", duration="1h")
    # Nothing runs here that says a word of the places.
    dead = await line_up(world, "w1", "w2")
    world.clock.advance(SILENT_MS - 1)
    back = [asyncio.create_task(locks.acquire("a", owner, wait="1m")) for owner in ("w2", "w1")]

    async def are_back() -> bool:
        lasting = "SELECT count(*) FROM kv_lock_waiters WHERE until > ?"
        return await world.rows(lasting, world.clock.now() + 1) == [(2,)]

    await until(are_back)
    for owner, successor in (("w0", "w1"), ("w1", "w2")):
        await locks.release("a", owner)
        found = await locks.get("a")
        assert found is not None
        assert found.owner == successor
    for task in (*dead, *back):
        task.cancel()
    await asyncio.wait({*dead, *back})


async def test_they_are_listed_by_name(world: World) -> None:
    locks = world.kv.locks
    for name in ("b/2", "a", "b/1", "b0", "b\U0010ffff", "\u00e9"):
        await locks.acquire(name, "w")
    assert [it.name for it in await locks.list("b/")] == ["b/1", "b/2"]
    assert [it.name for it in await locks.list("b")] == ["b/1", "b/2", "b0", "b\U0010ffff"]
    assert [it.name for it in await locks.list("b\U0010ffff")] == ["b\U0010ffff"]
    assert [it.name for it in await locks.list(limit=2)] == ["a", "b/1"]
    assert len(await locks.list()) == 6


async def test_what_was_over_long_ago_is_removed(world: World) -> None:
    await world.kv.locks.acquire("a", "w", duration=1)
    world.clock.advance(KEPT_MS)
    assert await world.service.locking.clean_up(10) == 0
    world.clock.advance(1)
    assert await world.service.locking.clean_up(10) == 1
    assert await world.rows("SELECT count(*) FROM kv_locks") == [(0,)]


@pytest.mark.parametrize("name", ["", "a\n", "\x7f", "x" * 257, "\ud800", 7, None])
async def test_names_are_checked(world: World, name: str) -> None:
    with pytest.raises(InvalidInput, match="1 to 256 characters"):
        await world.kv.locks.acquire(name, "w")
    with pytest.raises(InvalidInput, match="owner must be"):
        await world.kv.locks.acquire("a", name)
    with pytest.raises(InvalidInput):
        world.kv.atomic().check_lock(name, "token")
