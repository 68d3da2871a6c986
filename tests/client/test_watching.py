"""What a watch asks for and keeps, without a network."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from buntime_keyval import KvEntry
from buntime_keyval._sse import ServerEvent
from buntime_keyval._watching import Buffer, PollAnswer, PollPlan, WatchPlan, make_target


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
