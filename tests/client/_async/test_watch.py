"""Watching, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import AsyncKv, BigInt, InvalidInput, KvEntry, StatusError
from client._async.beside import Event, happened, running, sleep, until
from support.waiting import PATIENCE

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
            await sleep(0.05)
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
        await sleep(0.01)
        running -= 1
        is_first = not values
        values.extend(entry.value for entry in entries)
        if is_first:
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
    ready = Event()

    async def once(entries: list[KvEntry[Any]]) -> None:
        await happened(ready)
        calls.append(entries)
        await watches[0].stop()

    async with AsyncKv(api) as kv:
        await kv.set(["p", 1], 1)
        watches.append(kv.watch(["p"], once))
        ready.set()
        await watches[0].wait(PATIENCE)
        assert watches[0].closed
        await kv.set(["p", 2], 2)
    assert len(calls) == 1


async def test_a_slow_reader_with_a_buffer_gets_the_latest_of_each_key(kv: Any) -> None:
    release = Event()
    batches: list[list[Any]] = []

    async def slow(entries: list[KvEntry[Any]]) -> None:
        batches.append([entry.value for entry in entries])
        await happened(release)

    await kv.set(["p", 0], "first")
    async with kv.watch(["p"], slow, buffer_size=2) as watch:
        await until(lambda: batches)
        for number in range(1, 4):
            await kv.set(["p", number], number)
            await kv.set(["p", number], number * 10)
        await until(lambda: watch.dropped == 1)
        await sleep(0.1)
        release.set()
        await until(lambda: len(batches) == 2)
    assert batches == [["first"], [20, 30]]


async def test_weakness_41_what_will_not_pass_ends_the_watch(api: str) -> None:
    async with AsyncKv(api + "/wrong") as lost:

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


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("options", [{}, {"mode": "polling"}, {"shared": True}, {"buffer_size": 9}])
async def test_one_that_nobody_has_any_more_ends(
    kv: Any, begun: bool, options: dict[str, Any]
) -> None:
    await kv.set(["a"], 1)
    before = running("kv-watch")
    watches = [kv.watch(["a"], **options), kv.store(["a"], int).watch(["b"], **options)]
    if begun:
        async for batch in watches[0]:
            assert batch[0].value == 1
            break
    assert running("kv-watch") == before + 2
    del watches[:]
    await until(lambda: running("kv-watch") == before)
    await until(lambda: running("kv-shared-watch") == 0)


async def test_one_with_a_callback_goes_on_without_its_handle(kv: Any) -> None:
    heard = Heard()
    before = running("kv-watch")
    kv.watch(["a"], lambda entries: heard(entries))
    await kv.set(["a"], 1)
    await until(lambda: heard.state == {"('a',)": 1})
    await kv.set(["a"], 2)
    await until(lambda: heard.state == {"('a',)": 2})
    assert running("kv-watch") == before + 1
