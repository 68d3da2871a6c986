"""Consumers of one store, with a clock that is moved by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import apsw
import pytest
from buntime_database import DatabaseUnavailable
from buntime_keyval import ConsumerFailing, InvalidInput, PositionAhead, StreamTrimmed
from buntime_keyval.wire import encode_key
from buntime_plugin_keyval.engine.once import Once, keyed
from buntime_plugin_keyval.features.consumers.consumers import (
    ConsumerDesk,
    Holder,
    RecordBatch,
    WantedBatch,
    until_prolonged,
)
from buntime_plugin_keyval.features.stream.part import ALL_KEYS, Wish
from buntime_plugin_keyval.model.errors import ConsumerLocked, ConsumerNotFound, StaleConsumer
from buntime_plugin_keyval.requests.answers import ClientGone
from buntime_plugin_keyval.storage.consumers import held_position
from buntime_plugin_keyval.storage.ranges import subtree
from keyval.service.test_faults import MOST_STATEMENTS, Fault
from keyval.service.world import World, until

pytestmark = pytest.mark.engines("sqlite", "odd", "postgres", "libsql", "rqlite")


def desk_of(world: World) -> ConsumerDesk:
    desk: ConsumerDesk = world.service.consuming.consumers
    return desk


async def fetch(world: World, owner: str = "w1", **options: Any) -> RecordBatch:
    """What an instance of the consumer "mailer" is given."""
    wait, duration = options.pop("wait", 0), options.pop("duration", 30_000)
    wish = Wish(**options)
    return await desk_of(world).fetch(WantedBatch("mailer", owner, duration, wish, wait))


def places(batch: RecordBatch) -> list[int]:
    return [record.seq for record in batch.records]


async def written(world: World, number: int, first: str = "a") -> list[int]:
    """The positions of so many new records."""
    before = await world.kv.stream.seq()
    for index in range(number):
        await world.kv.set([first, index], index, type=first)
    return [record.seq for record in (await world.kv.stream.read(before)).records]


async def test_who_is_cancelled_holds_a_consumer_no_more_than_before(world: World) -> None:
    await written(world, 1)

    async def holder() -> str | None:
        return (await desk_of(world).get("mailer")).owner

    async def cancelled(turns: int) -> bool:
        fetching = asyncio.create_task(fetch(world))
        for _ in range(turns):
            await asyncio.sleep(0)
        is_cancelled = fetching.cancel()
        await asyncio.wait({fetching})
        return is_cancelled

    held = await fetch(world)
    for turns in (*range(12), 50):
        await cancelled(turns)
        assert await holder() == "w1"
    await desk_of(world).release("mailer", "w1", held.token)

    async def is_free() -> bool:
        return await holder() is None

    for turns in (*range(12), 50):
        if not await cancelled(turns):
            await desk_of(world).release("mailer", "w1", None)
        await until(is_free)


async def test_what_is_not_committed_comes_again_and_nothing_else(world: World) -> None:
    desk = desk_of(world)
    seqs = await written(world, 4)
    first = await fetch(world, limit=3)
    assert places(first) == seqs[:3]
    assert (first.position, first.lag) == (0, 4)
    again = await fetch(world, limit=3)
    assert (places(again), again.token) == (places(first), first.token)
    holder = Holder("mailer", first.token, "w1")
    for number, seq in enumerate(seqs, 1):
        assert await desk.commit(holder, seq) == seq
        batch = await fetch(world)
        assert places(batch) == seqs[number:]
        assert (batch.position, batch.lag) == (seq, 4 - number)
    # It never goes back, and nowhere that is not there yet.
    assert await desk.commit(holder, seqs[0]) == seqs[-1]
    with pytest.raises(PositionAhead, match=f"position {seqs[-1] + 1} yet: the stream ends"):
        await desk.commit(holder, seqs[-1] + 1)
    # Others have positions of their own.
    other = await desk.fetch(WantedBatch("other", "w1", 1_000, Wish()))
    assert places(other) == seqs
    assert [state.name for state in await desk.list("", 10)] == ["mailer", "other"]
    assert [state.name for state in await desk.list("m", 10)] == ["mailer"]
    # What the store locks for them is nobody else's business.
    assert await world.kv.locks.list() == []


async def test_who_waits_under_a_short_lock_writes_little(world: World) -> None:
    assert (await fetch(world, duration=1, wait=300)).records == []
    operations = (await world.kv.metrics())["operations"]
    assert operations["lock_acquire"]["count"] < 10


async def test_chosen_records_and_what_lies_between_them(world: World) -> None:
    await written(world, 2)
    (wanted,) = await written(world, 1, "b")
    last = (await written(world, 2))[-1]
    of_prefix = await fetch(world, keys=subtree(encode_key(("b",))))
    of_type = await fetch(world, type="b")
    assert places(of_prefix) == places(of_type) == [wanted]
    assert places(await fetch(world, type="unknown")) == []
    # What is not for it holds it up no longer once that was found.
    state = await desk_of(world).get("mailer")
    assert (state.position, state.lag) == (last, 0)
    ahead = await desk_of(world).fetch(WantedBatch("ahead", "w1", 1_000, Wish(after=wanted)))
    assert places(ahead)[0] > wanted
    assert (await desk_of(world).get("ahead")).position == 0


async def test_one_owner_at_a_time_and_the_late_one_changes_nothing(world: World) -> None:
    desk = desk_of(world)
    seqs = await written(world, 3)
    late = await fetch(world, "late", duration=10_000)
    with pytest.raises(ConsumerLocked, match="The consumer mailer is at work as late") as locked:
        await fetch(world, "w2")
    assert (locked.value.owner, locked.value.until) == ("late", world.clock.wall() + 10_000)
    world.clock.advance(10_000)
    taken_over = await fetch(world, "w2")
    assert places(taken_over) == seqs
    assert taken_over.token > late.token
    for stale in (Holder("mailer", late.token), Holder("mailer", taken_over.token, "late")):
        with pytest.raises(StaleConsumer, match="is not held under this token any more"):
            await desk.commit(stale, seqs[0])
        with pytest.raises(StaleConsumer):
            await desk.nack(stale, seqs[0], "broken", 1)
    assert not await desk.release("mailer", "late", late.token)
    await desk.commit(Holder("mailer", taken_over.token, "w2"), seqs[0])
    assert await desk.release("mailer", "w2", None)
    assert places(await fetch(world, "late")) == seqs[1:]


async def test_effects_and_position_are_one_commit(world: World) -> None:
    seqs = await written(world, 2)
    late = await fetch(world, "late", duration=1_000)
    world.clock.advance(1_000)
    batch = await fetch(world, "w2")
    parse = world.service.mutations["consumer"]

    async def commit(token: str, up_to: int) -> object:
        item = {"type": "consumer", "name": "mailer", "token": token, "upTo": up_to}
        done = parse(item, "mutations[0]", world.clock.now())
        return await world.store.commit([], [done])

    assert await commit(late.token, seqs[0]) is None
    assert await commit(batch.token, seqs[-1] + 1) is None
    assert (await desk_of(world).get("mailer")).position == 0
    assert await commit(batch.token, seqs[0]) is not None
    assert places(await fetch(world, "w2")) == seqs[1:]


async def test_what_fails_too_often_is_kept_and_passed(world: World) -> None:
    desk = desk_of(world)
    seqs = await written(world, 4)
    holder = Holder("mailer", (await fetch(world)).token)
    failed = await desk.nack(holder, seqs[1], "broken", 2)
    assert (failed.attempts, failed.dead) == (1, False)
    # Whoever fails at a record has done those before it.
    assert places(await fetch(world)) == seqs[1:]
    assert (await desk.get("mailer")).failing == ConsumerFailing(seqs[1], 1, "broken")
    failed = await desk.nack(holder, seqs[1], "still broken", 2)
    assert (failed.attempts, failed.dead, failed.position) == (2, True, seqs[1])
    assert (await desk.get("mailer")).failing is None
    assert places(await fetch(world)) == seqs[2:]
    with pytest.raises(InvalidInput, match="seq must be a record after the position"):
        await desk.nack(holder, seqs[1], "broken", 2)
    assert (await desk.nack(holder, seqs[2], "broken", 1)).dead
    letters = await desk.letters("mailer", 0, 10)
    assert [(it.record.seq, it.attempts, it.error) for it in letters] == [
        (seqs[1], 2, "still broken"),
        (seqs[2], 1, "broken"),
    ]
    assert (letters[0].record.key, letters[0].record.action) == (encode_key(("a", 1)), "create")
    assert [it.record.seq for it in await desk.letters("mailer", seqs[1], 10)] == [seqs[2]]


async def test_dead_letters_are_delivered_once_more_or_removed(world: World) -> None:
    desk = desk_of(world)
    seqs = await written(world, 4)
    holder = Holder("mailer", (await fetch(world)).token)
    for seq in seqs[:3]:
        assert (await desk.nack(holder, seq, "broken", 1)).dead
    await world.kv.stream.trim(seqs[2])  # they need the stream no longer
    assert await desk.requeue("mailer", seqs[1] + 10_000) == 0
    assert await desk.requeue("mailer", seqs[1]) == 1
    assert await desk.requeue("mailer", seqs[0]) == 1
    assert places(await fetch(world)) == [seqs[0]]
    failed = await desk.nack(holder, seqs[0], "again", 2)
    assert (failed.attempts, failed.dead) == (1, False)
    assert (await desk.nack(holder, seqs[0], "again", 2)).dead
    # A letter goes with the commit of just its record; the others stay what they are.
    assert places(await fetch(world)) == [seqs[1]]
    assert await desk.commit(holder, seqs[1]) == seqs[2]
    assert places(await fetch(world)) == seqs[3:]
    await desk.commit(holder, seqs[3])
    assert [it.record.seq for it in await desk.letters("mailer", 0, 10)] == [seqs[0], seqs[2]]
    assert await desk.remove_letters("mailer", seqs[0]) == 1
    assert await desk.requeue("mailer", None) == 1
    assert await desk.remove_letters("mailer", None) == 1
    assert places(await fetch(world)) == []


async def test_positions_are_set_looked_behind_and_forgotten(world: World) -> None:
    desk = desk_of(world)
    seqs = await written(world, 3)
    with pytest.raises(ConsumerNotFound, match="There is no consumer mailer"):
        await desk.get("mailer")
    assert not await desk.delete("mailer")
    assert (await desk.move("mailer", seqs[1])).position == seqs[1]
    assert [it.seq for it in (await desk.peek("mailer", Wish())).records] == seqs[2:]
    batch = await fetch(world)
    assert places(batch) == seqs[2:]
    state = await desk.move("mailer", 0)
    assert (state.position, state.owner, state.lag) == (0, None, 3)
    with pytest.raises(StaleConsumer):  # or it would be set back at once
        await desk.commit(Holder("mailer", batch.token), seqs[2])
    with pytest.raises(PositionAhead):
        await desk.move("mailer", seqs[-1] + 1)
    batch = await fetch(world)
    assert places(batch) == seqs
    assert await desk.delete("mailer")
    with pytest.raises(StaleConsumer):
        await desk.commit(Holder("mailer", batch.token), seqs[0])
    assert places(await fetch(world, "w2")) == seqs


async def test_what_was_removed_is_said_and_a_new_one_begins_with_the_rest(world: World) -> None:
    desk = desk_of(world)
    seqs = await written(world, 4)
    await fetch(world)
    await world.kv.stream.trim(seqs[1])
    for asked in (fetch(world), desk.peek("mailer", Wish()), desk.move("mailer", seqs[0])):
        with pytest.raises(StreamTrimmed) as trimmed:
            await asked
        assert trimmed.value.first == seqs[1] + 1
    await desk.move("mailer", seqs[1])
    assert places(await fetch(world)) == seqs[2:]
    other = await desk.fetch(WantedBatch("new", "w1", 1_000, Wish()))
    assert places(other) == seqs[2:]


async def test_the_log_is_kept_for_those_who_were_heard_of(world: World) -> None:
    db, clock = world.store.db, world.clock
    (first, second, *_) = await written(world, 3)
    assert await world.service.consuming.needs_behind() is None
    batch = await fetch(world)
    await desk_of(world).commit(Holder("mailer", batch.token), first)
    await desk_of(world).move("other", second)
    clock.advance(24 * 3_600_000 - 1)
    assert await world.service.consuming.needs_behind() == first
    await desk_of(world).move("other", second)
    clock.advance(2)
    assert await world.service.consuming.needs_behind() == second
    assert await held_position(db, clock.now() + 1) is None


async def test_a_fetch_waits_for_a_record(world: World) -> None:
    await fetch(world)
    waiting = asyncio.create_task(fetch(world, wait=60_000, type="b"))
    await until(lambda: desk_of(world).waiting == 1)
    await written(world, 1, "a")
    await until(lambda: desk_of(world).waiting == 1)
    (seq,) = await written(world, 1, "b")
    assert places(await waiting) == [seq]
    assert desk_of(world).waiting == 0
    assert places(await fetch(world, wait=5, type="c")) == []


async def test_who_stands_by_goes_on_when_the_other_one_leaves(world: World) -> None:
    world.service.locking.start()
    seqs = await written(world, 1)
    first = await fetch(world, "w1")
    standing_by = asyncio.create_task(fetch(world, "w2", wait=60_000))
    await until(lambda: world.service.locking.locks.waiting == 1)
    await desk_of(world).release("mailer", "w1", first.token)
    assert places(await standing_by) == seqs
    with pytest.raises(ConsumerLocked, match="as w2"):
        await fetch(world, "w1", wait=1)
    await world.service.locking.close()


async def test_who_goes_while_it_waits_lets_others_go_on(world: World) -> None:
    left = asyncio.Event()
    wanted = WantedBatch("mailer", "w1", 30_000, Wish(keys=ALL_KEYS), 60_000)

    async def gone() -> None:
        await left.wait()

    waiting = asyncio.ensure_future(desk_of(world).fetch(wanted, gone))
    await until(lambda: desk_of(world).waiting == 1)
    left.set()
    with pytest.raises(ClientGone):
        await waiting
    assert places(await fetch(world, "w2")) == []


@pytest.mark.engines("sqlite")
async def test_a_store_that_closes_lets_others_go_on(world: World) -> None:
    await written(world, 1)
    waiting = asyncio.ensure_future(fetch(world, wait=60_000, keys=subtree(encode_key(["none"]))))
    await until(lambda: desk_of(world).waiting == 1)
    await world.service.end_streams()
    assert places(await waiting) == []
    assert len(places(await fetch(world, "w2"))) == 1


@pytest.mark.engines("sqlite")
async def test_a_database_that_fails_gives_an_error_and_loses_no_record(world: World) -> None:
    """Whichever statement of a fetch and a commit it is."""
    desk = desk_of(world)
    seqs = await written(world, 3)
    for position in range(1, MOST_STATEMENTS):
        await desk.move("mailer", 0)
        fault = Fault(world, position, apsw.IOError)
        told = None
        try:
            batch = await fetch(world)
            assert places(batch) == seqs
            told = await desk.commit(Holder("mailer", batch.token), seqs[0])
        except DatabaseUnavailable:
            assert fault.statement is not None
        world.adapter.get_raw_client().exec_trace = None
        state = await desk.get("mailer")
        assert state.position in ((0, seqs[0]) if told is None else (told,))
        assert places(await fetch(world)) == [seq for seq in seqs if seq > state.position]
        if fault.statement is None:
            assert told == seqs[0]
            break
    assert 2 < position < MOST_STATEMENTS - 1, "every statement had its turn"


async def test_what_is_said_twice_with_one_key_is_done_once(world: World) -> None:
    desk = desk_of(world)
    seqs = await written(world, 2)
    holder = Holder("mailer", (await fetch(world)).token)

    def once() -> Once:
        return keyed("key", b"nack ")

    first = await desk.nack(holder, seqs[0], "broken", 5, once())
    assert await desk.nack(holder, seqs[0], "broken", 5, once()) == first
    assert (await desk.get("mailer")).failing == ConsumerFailing(seqs[0], 1, "broken")


@pytest.mark.parametrize("now", [0.0, 0.1, 4.9, 5.0, 7_777.7])
def test_those_who_wait_prolong_their_locks_together(now: float) -> None:
    """Long enough before these end, at moments that are the same for all."""
    pause = until_prolonged(30.0, now)
    assert 15 < pause <= 20
    assert (now + pause) / 5 == pytest.approx(round((now + pause) / 5))
