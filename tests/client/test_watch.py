"""Watching, with both clients, against a live server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import msgspec
import pytest
from buntime_keyval import AsyncKv, BigInt, InvalidInput, Kv, KvEntry, StatusError, Watch
from buntime_keyval._sse import ServerEvent
from buntime_keyval._watching import Buffer, PollAnswer, PollPlan, WatchPlan, make_target
from client.waiting import until

MODES = pytest.mark.parametrize("mode", ["sse", "polling"])
FAST = {"poll_interval": "20ms"}


class Heard:
    """A callback that remembers the last value of each key."""

    def __init__(self) -> None:
        self.batches: list[list[KvEntry[Any]]] = []
        self.state: dict[str, Any] = {}

    def __call__(self, entries: list[KvEntry[Any]]) -> None:
        self.batches.append(entries)
        for entry in entries:
            self.state[repr(entry.key)] = entry.value


@MODES
async def test_a_prefix_with_its_own_key(kv: Any, mode: str) -> None:
    heard = Heard()
    await kv.set(["users", 123], "there")
    await kv.set(["users2"], "not below")
    watch = kv.watch(["users", 123], lambda entries: heard(entries), mode=mode, **FAST)
    await until(lambda: heard.state == {"('users', 123)": "there"})
    await kv.set(["users", 123, "name"], "Ada")
    await kv.set(["users", "123"], "another key")
    await until(lambda: heard.state.get("('users', 123, 'name')") == "Ada")
    await kv.delete(["users", 123])
    await until(lambda: heard.state == {"('users', 123)": None, "('users', 123, 'name')": None})
    assert not watch.closed
    await watch.stop()
    assert watch.closed
    await watch.stop()


@MODES
async def test_exact_keys_of_every_type(kv: Any, mode: str) -> None:
    heard = Heard()
    keys: list[list[Any]] = [["k", 1], ["k", "1"], ["k", True], [BigInt(1), b"\0,:/"]]
    await kv.set(keys[0], "one")
    async with kv.watch(keys, lambda entries: heard(entries), exact=True, mode=mode, **FAST):
        await until(lambda: heard.state.get("('k', 1)") == "one")
        for key in keys:
            await kv.set([*key, "child"], "not watched")
            await kv.set(key, repr(key))
        await until(lambda: set(heard.state.values()) == {repr(key) for key in keys})
    assert len(heard.state) == 4


@MODES
async def test_iterating_sees_each_state(kv: Any, mode: str) -> None:
    seen = []
    async with kv.watch([["a"], ["b"]], mode=mode, **FAST) as watch:
        await kv.set(["a", 1], 1)
        await kv.set(["b", 1], 2)
        async for batch in watch:
            seen += [entry.value for entry in batch]
            if len(seen) == 2:
                break
    assert seen == [1, 2]


@MODES
@pytest.mark.parametrize("exact", [True, False])
async def test_without_the_initial_state(kv: Any, mode: str, exact: bool) -> None:
    heard = Heard()
    for number in range(5):
        await kv.set(["p", number], "old")
    keys = [["p", number] for number in range(6)] if exact else ["p"]
    options = {"exact": exact, "emit_initial": False, "mode": mode, "limit": 2, **FAST}
    async with kv.watch(keys, lambda entries: heard(entries), **options):
        number = 0
        while not heard.state:  # until the watch is there
            number += 1
            await kv.set(["p", 5], number)
            await asyncio.sleep(0.05)
        await until(lambda: heard.state.get("('p', 5)") == number)
        await kv.delete(["p", 5])
        await until(lambda: heard.state.get("('p', 5)", "") is None)
    assert list(heard.state) == ["('p', 5)"]


async def test_more_than_the_limit_arrives_in_parts(kv: Any) -> None:
    heard = Heard()
    async with kv.watch(["p"], lambda entries: heard(entries), limit=10):
        for _ in range(3):
            atomic = kv.atomic()
            for number in range(25):
                atomic.set(["p", number], number)
            await atomic.commit()
        await until(lambda: len(heard.state) == 25)
    assert max(len(batch) for batch in heard.batches) <= 10


async def test_one_callback_at_a_time_and_its_failures_are_told(kv: Any) -> None:
    running = 0
    values: list[Any] = []
    errors: list[Exception] = []

    async def slow(entries: list[KvEntry[Any]]) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.01)
        running -= 1
        values.extend(entry.value for entry in entries)
        if len(values) == 1:
            raise ValueError("of the callback")

    async with kv.watch(["p"], slow, on_error=errors.append):
        for number in range(20):
            await kv.set(["p", number], number)
        await until(lambda: len(values) == 20)
    assert values == list(range(20))
    assert [str(error) for error in errors] == ["of the callback"]


async def test_a_watch_can_be_stopped_by_its_own_callback(api: str) -> None:
    watches: list[Any] = []
    calls: list[Any] = []

    async def once(entries: list[KvEntry[Any]]) -> None:
        calls.append(entries)
        await watches[0].stop()

    async with AsyncKv(api) as kv:
        await kv.set(["p", 1], 1)
        watches.append(kv.watch(["p"], once))
        await until(lambda: watches[0].closed)
        await kv.set(["p", 2], 2)
        await watches[0].wait()
    assert len(calls) == 1


def test_a_blocking_watch_can_be_stopped_by_its_own_callback(api: str) -> None:
    watches: list[Watch] = []
    calls: list[Any] = []
    ready = threading.Event()

    def once(entries: list[KvEntry[Any]]) -> None:
        assert ready.wait(5)
        calls.append(entries)
        watches[0].stop()

    with Kv(api) as kv:
        kv.set(["p", 1], 1)
        watches.append(kv.watch(["p"], once))
        ready.set()
        watches[0].wait(5)
        assert watches[0].closed
        kv.set(["p", 2], 2)
    assert len(calls) == 1


async def test_a_slow_reader_with_a_buffer_gets_the_latest_of_each_key(kv: Any) -> None:
    release = asyncio.Event()
    batches: list[list[Any]] = []

    async def slow(entries: list[KvEntry[Any]]) -> None:
        batches.append([entry.value for entry in entries])
        await asyncio.wait_for(release.wait(), 5)

    await kv.set(["p", 0], "first")
    async with kv.watch(["p"], slow, buffer_size=2) as watch:
        await until(lambda: batches)
        for number in range(1, 4):
            await kv.set(["p", number], number)
            await kv.set(["p", number], number * 10)
        await until(lambda: watch.dropped == 1)
        await asyncio.sleep(0.1)
        release.set()
        await until(lambda: len(batches) == 2)
    assert batches == [["first"], [20, 30]]


def entry(key: str, value: int) -> KvEntry[Any]:
    return KvEntry((key,), value, "v")


@pytest.mark.parametrize(
    ("overflow", "expected"),
    [("drop-oldest", [("b", 2), ("c", 3)]), ("drop-newest", [("a", 1), ("b", 2)])],
)
def test_overflow(overflow: Any, expected: list[tuple[str, int]]) -> None:
    buffer = Buffer(2, overflow)
    buffer.add([entry("a", 1), entry("b", 2), entry("c", 3)])
    assert [(item.key[0], item.value) for item in buffer.take()] == expected
    assert buffer.dropped == 1
    buffer.add([entry("a", 1), entry("b", 2), entry("a", 9)])
    assert [(item.key[0], item.value) for item in buffer.take()] == [("a", 9), ("b", 2)]
    assert not buffer.filled


async def test_weakness_41_what_will_not_pass_ends_the_watch(kv: Any, api: str) -> None:
    from client.conftest import open_client

    kind = "async" if type(kv).__name__ == "AsyncKv" else "sync"
    async with open_client(kind, api + "/wrong") as lost:

        async def iterate() -> None:
            async with lost.watch(["a"]) as watch:
                async for _ in watch:
                    pass

        with pytest.raises(StatusError) as caught:
            await iterate()
        assert caught.value.status == 404
        errors: list[Exception] = []
        watch = lost.watch(["a"], lambda entries: None, on_error=errors.append)
        await until(lambda: watch.closed and errors)
        assert watch.error is errors[0]
        with pytest.raises(StatusError):
            await watch.wait()


async def test_wrong_options(kv: Any) -> None:
    for options in (
        {"mode": "telepathy"}, {"limit": 0}, {"buffer_size": 0}, {"overflow_strategy": "burst"},
        {"poll_interval": -1},
    ):  # fmt: skip
        with pytest.raises(InvalidInput):
            kv.watch(["a"], **options)
    with pytest.raises(InvalidInput):
        kv.watch([])
    watch = kv.watch(["a"], lambda entries: None)
    with pytest.raises(RuntimeError):
        async for _ in watch:
            pass
    await watch.stop()


def test_a_reset_is_an_empty_batch() -> None:
    plan = WatchPlan(make_target(["p"], exact=False, limit=None), emit_initial=True)
    assert plan.take(ServerEvent("ping", b"", "7")) is None
    assert plan.stream_call().last_event_id == "7"
    assert plan.take(ServerEvent("reset", b"", None)) == []
    assert plan.stream_call().last_event_id == "7"


@pytest.mark.parametrize("size", [None, 2])
def test_what_waits_before_a_reset_is_out_of_date(size: int | None) -> None:
    entry = KvEntry(("p", 1), 1, "v")
    buffer = Buffer(size, "drop-oldest")
    if size is not None:
        buffer.add([KvEntry(("p", 0), 0, "v")])
    buffer.add([])
    assert buffer.filled
    if size is not None:
        buffer.add([entry])
    assert buffer.take() == []
    if size is not None:
        assert buffer.take() == [entry]
    assert not buffer.filled


def test_a_long_poll_goes_into_a_body() -> None:
    target = make_target([["p", number] for number in range(900)], exact=True, limit=None)
    assert PollPlan(target, emit_initial=True).call().method == "POST"
    plan = PollPlan(make_target(["p"], exact=False, limit=None), emit_initial=True)
    assert plan.call().method == "GET"
    plan.take(PollAnswer(msgspec.Raw(b"[]"), ",".join(["p/a:" + "v" * 36] * 200)))
    assert (plan.call().method, plan.call().target) == ("POST", "/watch/prefix/poll")


async def test_polling_many_keys(kv: Any) -> None:
    heard = Heard()
    for start in (0, 150):
        atomic = kv.atomic()
        for number in range(start, start + 150):
            atomic.set(["many", number], number)
        await atomic.commit()
    options = {"mode": "polling", "limit": 1000, **FAST}
    async with kv.watch(["many"], lambda entries: heard(entries), **options):
        await until(lambda: len(heard.state) == 300)
        await kv.set(["many", 7], "new")
        await until(lambda: heard.state["('many', 7)"] == "new")
    assert len(heard.batches) == 2
