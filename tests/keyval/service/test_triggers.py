"""Triggers: what they are told, in which order, and what their failures do not disturb."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.faces.local.triggers import TriggerEvent
from keyval.service.world import World, values

pytestmark = pytest.mark.engines("sqlite", "libsql-replica")

Events = list[TriggerEvent]


@pytest.fixture
def events(kv: LocalKv) -> Events:
    """What a trigger on everything is told."""
    told: Events = []
    kv.add_trigger(handler=told.append)
    return told


async def test_a_set_is_told_with_its_value(kv: LocalKv, events: Events) -> None:
    result = await kv.set(("a", 1), {"b": BigInt(5)})
    assert events == [TriggerEvent("set", ("a", 1), str(result.versionstamp), {"b": BigInt(5)})]


async def test_every_mutation_tells_the_new_value(kv: LocalKv, events: Events) -> None:
    for _ in range(2):
        result = await (
            kv.atomic()
            .set(("set",), None)
            .sum(("sum",), 5)
            .max(("max",), 6)
            .min(("min",), 7)
            .append(("append",), [8])
            .prepend(("prepend",), [9])
            .commit()
        )
    told = {event.key[0]: event.value for event in events[6:]}
    expected = {"set": None, "sum": 10, "max": 6, "min": 7, "append": [8, 8], "prepend": [9, 9]}
    assert told == expected
    assert {event.type for event in events} == {"set"}
    assert {event.versionstamp for event in events[6:]} == {result.versionstamp}


async def test_several_mutations_of_a_key_are_one_event(kv: LocalKv, events: Events) -> None:
    await kv.atomic().set(("a",), 1).sum(("a",), 2).set(("b",), 1).delete(("b",)).commit()
    assert [(event.type, event.key, event.value) for event in events] == [("set", ("a",), 3)]


async def test_a_prefix_delete_tells_every_removed_key(kv: LocalKv, events: Events) -> None:
    keys: list[Any] = [("u",), ("u", 1), ("u", 1, b"\0"), ("u", True), ("users",)]
    for key in keys:
        await kv.set(key, 1)
    del events[:]
    assert (await kv.delete(("u",))).deleted_count == 4
    assert [(event.type, event.key, event.value) for event in events] == [
        ("delete", key, None) for key in keys[:4]
    ]
    stamps = {event.versionstamp for event in events}
    assert len(stamps) == 1
    assert stamps == {change.versionstamp for change in (await kv.changes())[5:]}


async def test_deletes_of_every_kind_are_told(kv: LocalKv, events: Events) -> None:
    for key in ("a", "b", "c", "d"):
        await kv.set((key,), key)
    del events[:]
    result = await kv.atomic().delete(("a",)).delete(("none",)).set(("x",), 1).commit()
    await kv.delete([("b",), ("none",)])
    await kv.delete(("c",), where={"$": "c"})
    await kv.delete([], everything=True, where={"$": "d"})
    told = [(event.type, event.key) for event in events]
    assert told[:2] == [("delete", ("a",)), ("set", ("x",))]
    assert told[2:] == [("delete", (key,)) for key in "bcd"]
    assert {event.versionstamp for event in events[:2]} == {result.versionstamp}


async def test_nothing_is_told_where_nothing_changed(kv: LocalKv, events: Events) -> None:
    await kv.set(("a",), "text")
    del events[:]
    await kv.delete(("none",))
    await kv.delete(("a",), where={"$": 5})
    await kv.atomic().delete(("none",)).commit()
    await kv.atomic().check((("a",), None)).set(("a",), 2).commit()
    await kv.atomic().check((("none",), None)).commit()
    with pytest.raises(InvalidInput):
        await kv.atomic().set(("b",), 1).sum(("a",), 1).commit()
    assert events == []


async def test_expiry_is_no_event(world: World, events: Events) -> None:
    await world.kv.set(("a",), 1, expires_in="5ms")
    world.clock.advance(5)
    assert await world.store.expire(10) == 1
    await world.kv.delete(("a",))
    assert [event.type for event in events] == ["set"]


async def test_handlers_run_in_order_of_registration_for_every_key(kv: LocalKv) -> None:
    told: list[tuple[str, Any]] = []

    def register(name: str) -> None:
        async def handler(event: TriggerEvent) -> None:
            await asyncio.sleep(0)
            told.append((name, event.key[0]))

        kv.add_trigger(handler=handler)

    for name in "xyz":
        register(name)
    await kv.atomic().set(("b",), 1).set(("a",), 1).commit()
    assert told == [(name, key) for key in "ba" for name in "xyz"]


@pytest.mark.parametrize(
    ("prefix", "told"),
    [
        ((), 6),
        (("u",), 2),
        ((1,), 1),
        ((BigInt(1),), 1),
        ((b"\x01\x00",), 1),
        ((b"\x01",), 0),
        (("u", 1, 2), 0),
    ],
)
async def test_a_prefix_matches_by_value(kv: LocalKv, prefix: Any, told: int) -> None:
    events: Events = []
    kv.add_trigger(prefix=prefix, handler=events.append)
    keys: list[Any] = [("u",), ("u", 1), ("users",), (1,), (BigInt(1),), (b"\x01\x00", "x")]
    for key in keys:
        await kv.set(key, 1)
    assert len(events) == told
    assert all(event.key[: len(prefix)] == tuple(prefix) for event in events)


@pytest.mark.parametrize("wanted", [["set"], ["delete"], ["set", "delete"]])
async def test_only_the_listed_events(kv: LocalKv, wanted: list[str]) -> None:
    events: Events = []
    kv.add_trigger(events=wanted, handler=events.append)
    await kv.set(("a",), 1)
    await kv.delete(("a",))
    assert [event.type for event in events] == wanted


@pytest.mark.parametrize("wanted", [[], ["expire"], ["set", "x"]])
async def test_unknown_events_are_refused(kv: LocalKv, wanted: list[str]) -> None:
    with pytest.raises(InvalidInput, match="events must be"):
        kv.add_trigger(events=wanted, handler=print)


async def test_a_failure_is_logged_and_disturbs_nobody(
    kv: LocalKv, caplog: pytest.LogCaptureFixture
) -> None:
    events: Events = []

    def broken(event: TriggerEvent) -> None:
        raise ValueError("broken")

    async def broken_later(event: TriggerEvent) -> None:
        await asyncio.sleep(0)
        raise ValueError("broken later")

    kv.add_trigger(handler=broken)
    kv.add_trigger(handler=broken_later)
    kv.add_trigger(handler=events.append)
    assert (await kv.set(("a",), 1)).ok
    assert len(events) == 1
    assert await values(kv) == {("a",): 1}
    messages = [record.getMessage() for record in caplog.records]
    assert messages == ["Trigger handler failed for key ('a',)"] * 2


async def test_the_writer_waits_for_its_handlers(kv: LocalKv) -> None:
    gate = asyncio.Event()
    entered = asyncio.Event()

    async def handler(event: TriggerEvent) -> None:
        assert (await kv.get(event.key)).value == 1  # committed by now
        entered.set()
        await gate.wait()

    kv.add_trigger(prefix=("slow",), handler=handler)
    slow = asyncio.create_task(kv.set(("slow",), 1))
    await entered.wait()
    await kv.set(("other",), 2)  # others do not wait
    assert not slow.done()
    gate.set()
    assert (await slow).ok


async def test_a_handler_may_write(kv: LocalKv) -> None:
    async def handler(event: TriggerEvent) -> None:
        await kv.atomic().sum(("count",), 1).set(("copy", *event.key), event.value).commit()

    kv.add_trigger(prefix=("a",), events=["set"], handler=handler)
    await asyncio.gather(*(kv.set(("a", number), number) for number in range(20)))
    assert (await kv.get(("count",))).value == 20
    assert await kv.count(("copy",)) == 20


async def test_a_handler_may_write_below_its_own_prefix(kv: LocalKv) -> None:
    async def handler(event: TriggerEvent) -> None:
        if event.value > 0:
            await kv.set(("n", event.value - 1), event.value - 1)

    kv.add_trigger(prefix=("n",), handler=handler)
    await kv.set(("n", 5), 5)
    assert list((await values(kv)).values()) == list(range(6))


async def test_unsubscribing_ends_it_and_may_happen_twice(kv: LocalKv, events: Events) -> None:
    mine: Events = []
    remove = kv.add_trigger(handler=mine.append)
    await kv.set(("a",), 1)
    remove()
    remove()
    await kv.set(("b",), 1)
    assert [event.key for event in mine] == [("a",)]
    assert [event.key for event in events] == [("a",), ("b",)]


async def test_a_handler_that_is_registered_twice_runs_twice(kv: LocalKv) -> None:
    told: Events = []
    removes: list[Callable[[], None]] = [kv.add_trigger(handler=told.append) for _ in range(2)]
    await kv.set(("a",), 1)
    assert len(told) == 2
    removes[0]()
    await kv.set(("a",), 1)
    assert len(told) == 3


async def test_a_cancelled_writer_does_not_stop_its_handlers(kv: LocalKv) -> None:
    told: Events = []
    entered = asyncio.Event()

    async def handler(event: TriggerEvent) -> None:
        entered.set()
        await asyncio.sleep(0)
        told.append(event)

    kv.add_trigger(handler=handler)
    writer = asyncio.create_task(kv.set(("a",), 1))
    await entered.wait()
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    await kv.close()
    assert len(told) == 1
