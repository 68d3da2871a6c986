# Made by scripts/unasync from _async/test_watch.py: change that one.
"""Watching, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput, Kv, KvEntry, StatusError
from client._sync.beside import Event, happened, running, sleep, until
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
def test_a_prefix_with_its_own_key(kv: Any, mode: str) -> None:
    heard = Heard()
    kv.set(["users", 123], "there")
    kv.set(["users2"], "not below")
    watch = kv.watch(["users", 123], lambda entries: heard(entries), mode=mode, **FAST)
    until(lambda: heard.state == {"('users', 123)": "there"})
    kv.set(["users", 123, "name"], "Ada")
    kv.set(["users", "123"], "another key")
    until(lambda: heard.state.get("('users', 123, 'name')") == "Ada")
    kv.delete(["users", 123])
    until(lambda: heard.state == {"('users', 123)": None, "('users', 123, 'name')": None})
    assert not watch.closed
    watch.stop()
    assert watch.closed
    watch.stop()


@MODES
def test_exact_keys_of_every_type(kv: Any, mode: str) -> None:
    heard = Heard()
    keys: list[list[Any]] = [["k", 1], ["k", "1"], ["k", True], [BigInt(1), b"\0,:/"]]
    kv.set(keys[0], "one")
    with kv.watch(keys, lambda entries: heard(entries), exact=True, mode=mode, **FAST):
        until(lambda: heard.state.get("('k', 1)") == "one")
        for key in keys:
            kv.set([*key, "child"], "not watched")
            kv.set(key, repr(key))
        until(lambda: set(heard.state.values()) == {repr(key) for key in keys})
    assert len(heard.state) == 4


@MODES
def test_iterating_sees_each_state(kv: Any, mode: str) -> None:
    seen = []
    with kv.watch([["a"], ["b"]], mode=mode, **FAST) as watch:
        kv.set(["a", 1], 1)
        kv.set(["b", 1], 2)
        for batch in watch:
            seen += [entry.value for entry in batch]
            if len(seen) == 2:
                break
    assert seen == [1, 2]


@MODES
@pytest.mark.parametrize("exact", [True, False])
def test_without_the_initial_state(kv: Any, mode: str, exact: bool) -> None:
    heard = Heard()
    for number in range(5):
        kv.set(["p", number], "old")
    keys = [["p", number] for number in range(6)] if exact else ["p"]
    options = {"exact": exact, "emit_initial": False, "mode": mode, "limit": 2, **FAST}
    with kv.watch(keys, lambda entries: heard(entries), **options):
        number = 0
        while not heard.state:  # until the watch is there
            number += 1
            kv.set(["p", 5], number)
            sleep(0.05)
        until(lambda: heard.state.get("('p', 5)") == number)
        kv.delete(["p", 5])
        until(lambda: heard.state.get("('p', 5)", "") is None)
    assert list(heard.state) == ["('p', 5)"]


def test_more_than_the_limit_arrives_in_parts(kv: Any) -> None:
    heard = Heard()
    with kv.watch(["p"], lambda entries: heard(entries), limit=10):
        for _ in range(3):
            atomic = kv.atomic()
            for number in range(25):
                atomic.set(["p", number], number)
            atomic.commit()
        until(lambda: len(heard.state) == 25)
    assert max(len(batch) for batch in heard.batches) <= 10


def test_one_callback_at_a_time_and_its_failures_are_told(kv: Any) -> None:
    running = 0
    values: list[Any] = []
    errors: list[Exception] = []

    def slow(entries: list[KvEntry[Any]]) -> None:
        nonlocal running
        running += 1
        assert running == 1
        sleep(0.01)
        running -= 1
        is_first = not values
        values.extend(entry.value for entry in entries)
        if is_first:
            raise ValueError("of the callback")

    with kv.watch(["p"], slow, on_error=errors.append):
        for number in range(20):
            kv.set(["p", number], number)
        until(lambda: len(values) == 20)
    assert values == list(range(20))
    assert [str(error) for error in errors] == ["of the callback"]


def test_a_watch_can_be_stopped_by_its_own_callback(api: str) -> None:
    watches: list[Any] = []
    calls: list[Any] = []
    ready = Event()

    def once(entries: list[KvEntry[Any]]) -> None:
        happened(ready)
        calls.append(entries)
        watches[0].stop()

    with Kv(api) as kv:
        kv.set(["p", 1], 1)
        watches.append(kv.watch(["p"], once))
        ready.set()
        watches[0].wait(PATIENCE)
        assert watches[0].closed
        kv.set(["p", 2], 2)
    assert len(calls) == 1


def test_a_slow_reader_with_a_buffer_gets_the_latest_of_each_key(kv: Any) -> None:
    release = Event()
    batches: list[list[Any]] = []

    def slow(entries: list[KvEntry[Any]]) -> None:
        batches.append([entry.value for entry in entries])
        happened(release)

    kv.set(["p", 0], "first")
    with kv.watch(["p"], slow, buffer_size=2) as watch:
        until(lambda: batches)
        for number in range(1, 4):
            kv.set(["p", number], number)
            kv.set(["p", number], number * 10)
        until(lambda: watch.dropped == 1)
        sleep(0.1)
        release.set()
        until(lambda: len(batches) == 2)
    assert batches == [["first"], [20, 30]]


def test_weakness_41_what_will_not_pass_ends_the_watch(api: str) -> None:
    with Kv(api + "/wrong") as lost:

        def iterate() -> None:
            with lost.watch(["a"]) as watch:
                for _ in watch:
                    pass

        with pytest.raises(StatusError) as caught:
            iterate()
        assert caught.value.status == 404
        errors: list[Exception] = []
        watch = lost.watch(["a"], lambda entries: None, on_error=errors.append)
        until(lambda: watch.closed and errors)
        assert watch.error is errors[0]
        with pytest.raises(StatusError):
            watch.wait()


def test_wrong_options(kv: Any) -> None:
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
        for _ in watch:
            pass
    watch.stop()


def test_polling_many_keys(kv: Any) -> None:
    heard = Heard()
    for start in (0, 150):
        atomic = kv.atomic()
        for number in range(start, start + 150):
            atomic.set(["many", number], number)
        atomic.commit()
    options = {"mode": "polling", "limit": 1000, **FAST}
    with kv.watch(["many"], lambda entries: heard(entries), **options):
        until(lambda: len(heard.state) == 300)
        kv.set(["many", 7], "new")
        until(lambda: heard.state["('many', 7)"] == "new")
    assert len(heard.batches) == 2


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("options", [{}, {"mode": "polling"}, {"shared": True}, {"buffer_size": 9}])
def test_one_that_nobody_has_any_more_ends(kv: Any, begun: bool, options: dict[str, Any]) -> None:
    kv.set(["a"], 1)
    before = running("kv-watch")
    watches = [kv.watch(["a"], **options), kv.store(["a"], int).watch(["b"], **options)]
    if begun:
        for batch in watches[0]:
            assert batch[0].value == 1
            break
    assert running("kv-watch") == before + 2
    del watches[:]
    until(lambda: running("kv-watch") == before)
    until(lambda: running("kv-shared-watch") == 0)


def test_one_with_a_callback_goes_on_without_its_handle(kv: Any) -> None:
    heard = Heard()
    before = running("kv-watch")
    kv.watch(["a"], lambda entries: heard(entries))
    kv.set(["a"], 1)
    until(lambda: heard.state == {"('a',)": 1})
    kv.set(["a"], 2)
    until(lambda: heard.state == {"('a',)": 2})
    assert running("kv-watch") == before + 1
