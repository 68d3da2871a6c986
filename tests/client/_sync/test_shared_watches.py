# Made by scripts/unasync from _async/test_shared_watches.py: change that one.
"""Many watches of one target over one stream."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput, Kv
from client._sync.beside import Started, until
from support.live import LiveServer


def streams_of(metrics: dict[str, Any]) -> int:
    return int(metrics["streams"]["watchers"])


def test_all_are_told_the_same_over_one_stream(kv: Any) -> None:
    kv.set(["a", 1], "old")
    seen: list[list[Any]] = [[] for _ in range(20)]
    watches = [
        kv.watch(["a"], lambda batch, told=told: told.extend(batch), shared=True) for told in seen
    ]
    try:
        until(lambda: all(seen))
        assert streams_of(kv.metrics()) == 1
        kv.set(["a", 2], "new")
        kv.delete(["a", 1])
        until(lambda: all(len(told) == 3 for told in seen))
        for told in seen:
            assert [entry.value for entry in told] == ["old", "new", None]
        late: list[Any] = []
        watches.append(kv.watch(["a"], late.extend, shared=True))
        until(lambda: late)
        assert [(entry.key, entry.value) for entry in late] == [(("a", 2), "new")]
        silent: list[Any] = []
        watches.append(kv.watch(["a"], silent.extend, shared=True, emit_initial=False))

        def hears_of_writes() -> bool:
            kv.set(["a", 3], "newer")  # it may have joined only after the first
            return bool(silent)

        until(hears_of_writes)
        assert {entry.value for entry in silent} == {"newer"}
        assert streams_of(kv.metrics()) == 1
    finally:
        for watch in watches:
            watch.stop()

    def none_is_left() -> bool:
        return streams_of(kv.metrics()) == 0

    until(none_is_left)


def test_the_first_may_want_no_snapshot(kv: Any) -> None:
    kv.set(["a", 1], "old")
    silent: list[Any] = []
    with kv.watch(["a"], silent.extend, shared=True, emit_initial=False):
        told: list[Any] = []
        with kv.watch(["a"], told.extend, shared=True):
            until(lambda: told)
            kv.set(["a", 2], "new")
            until(lambda: silent and len(told) == 2)
    assert [entry.value for entry in silent] == ["new"]
    assert [entry.value for entry in told] == ["old", "new"]


def test_keys_that_do_not_exist_are_told_to_late_ones_too(kv: Any) -> None:
    first: list[Any] = []
    with kv.watch([["a"], ["b"]], first.extend, exact=True, shared=True):
        until(lambda: first)
        late: list[Any] = []
        with kv.watch([["a"], ["b"]], late.extend, exact=True, shared=True):
            until(lambda: late)
    assert [(entry.key, entry.versionstamp) for entry in late] == [(("a",), None), (("b",), None)]


def test_a_slow_one_holds_up_nobody(kv: Any) -> None:
    slow = kv.watch(["a"], shared=True)
    quick: list[Any] = []
    with kv.watch(["a"], quick.extend, shared=True):
        for number in range(50):
            kv.set(["a", number % 5], number)
        until(lambda: 49 in [entry.value for entry in quick])
    told: list[Any] = []

    def read() -> None:
        for batch in slow:
            told.extend(entry.value for entry in batch)

    reading = Started(read)
    until(lambda: set(told) >= {45, 46, 47, 48, 49})
    slow.stop()
    reading.result()


def test_an_error_ends_all_of_them(server: LiveServer) -> None:
    with Kv(f"{server.url}/nothing") as kv:
        watches = [kv.watch(["a"], shared=True) for _ in range(3)]
        for watch in watches:
            with pytest.raises(Exception, match="no KeyVal API"):
                next(watch)


def test_polling_cannot_be_shared(kv: Any) -> None:
    with pytest.raises(InvalidInput, match="mode must be sse"):
        kv.watch(["a"], mode="polling", shared=True)
