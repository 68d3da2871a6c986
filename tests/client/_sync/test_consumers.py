# Made by scripts/unasync from _async/test_consumers.py: change that one.
"""Consumers of the stream, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput, StaleConsumer
from buntime_keyval._sync.concurrency import Task
from client._sync.beside import until
from support.waiting import PATIENCE


def written(kv: Any, name: str, number: int, keys: int = 1000) -> list[int]:
    """A new consumer of this name before so many new records; their positions."""
    begin = kv.stream.seq()
    kv.consumers.set_position(name, begin)
    for index in range(number):
        kv.set([name, index % keys], index)
    return [it.seq for it in (kv.stream.read(begin, limit=1000)).records]


def test_each_mode_commits_at_its_time(kv: Any) -> None:
    seqs = written(kv, "mode", 6)
    consumer = kv.consumer("mode", prefix=["mode"], batch=4)
    positions: list[int] = []

    def read(mode: Any, number: int) -> None:
        for record in consumer.records(commit=mode):
            positions.append((kv.consumers.get("mode")).position)
            if len(positions) == number:
                assert consumer.token
                assert record.seq == seqs[positions_before + number - 1]
                consumer.stop()

    positions_before = 0
    read("each", 2)
    assert positions == [seqs[0] - 1, seqs[0]]
    # The record that was read last counted when the next one was asked for, which told the end.
    assert (kv.consumers.get("mode")).position == seqs[1]
    consumer = kv.consumer("mode", prefix=["mode"], batch=2)
    positions.clear()
    positions_before = 2
    read("batch", 3)
    assert positions == [seqs[1], seqs[1], seqs[3]]
    consumer = kv.consumer("mode", prefix=["mode"], batch=1)
    positions.clear()
    positions_before = 4
    read("none", 2)
    assert positions == [seqs[3], seqs[3]]
    info = kv.consumers.get("mode")
    assert (info.position, info.owner, info.lag) == (seqs[3], None, 2)
    with pytest.raises(InvalidInput, match="commit must be each, batch or none"):
        read("all", 1)


def test_effects_and_position_are_one_commit(kv: Any) -> None:
    seqs = written(kv, "count", 3)
    consumer = kv.consumer("count", prefix=["count"])
    for record in consumer.records(commit="none"):
        done = kv.atomic().sum(["sum"], 1).commit_consumer("count", consumer.token, record.seq)
        assert (done.commit()).ok
        if record.seq == seqs[-1]:
            late = consumer.token
            consumer.stop()
    assert (kv.get(["sum"])).value == 3
    assert (kv.consumers.get("count")).position == seqs[-1]
    refused = kv.atomic().sum(["sum"], 1).commit_consumer("count", late, seqs[-1])
    assert not (refused.commit()).ok
    with pytest.raises(StaleConsumer):
        kv.consumers.commit("count", late, seqs[-1])
    assert (kv.get(["sum"])).value == 3


def test_a_handler_gets_those_of_one_key_in_order(kv: Any) -> None:
    seqs = written(kv, "many", 40, keys=4)
    consumer = kv.consumer("many", prefix=["many"], batch=15)
    handled: list[tuple[Any, int]] = []

    def handle(record: Any) -> None:
        handled.append((record.key, record.seq))
        if len(handled) == len(seqs):
            consumer.stop()

    consumer.run(handle, concurrency=8)
    assert sorted(seq for _, seq in handled) == seqs
    for number in range(4):
        of_key = [seq for key, seq in handled if key == ("many", number)]
        assert of_key == sorted(of_key)
    assert (kv.consumers.get("many")).position == seqs[-1]


def test_what_fails_comes_again_and_then_is_a_dead_letter(kv: Any) -> None:
    seqs = written(kv, "fail", 4)
    handled: list[int] = []
    consumer = kv.consumer("fail", prefix=["fail"], max_attempts=3, retry="1ms")

    def handle(record: Any) -> None:
        handled.append(record.seq)
        if record.seq == seqs[1]:
            raise ValueError("not this one")
        if record.seq == seqs[-1] and handled.count(seqs[1]) == 3:
            consumer.stop()

    consumer.run(handle)
    assert handled == [seqs[0], seqs[1], seqs[1], seqs[1], *seqs[2:]]
    (letter,) = kv.consumers.dead_letters("fail")
    assert (letter.record.seq, letter.attempts) == (seqs[1], 3)
    assert "not this one" in letter.error
    # Side by side, what was done behind the failing one is not done again.
    kv.consumers.delete("fail")
    kv.consumers.set_position("fail", seqs[0] - 1)
    handled.clear()
    consumer = kv.consumer("fail", prefix=["fail"], max_attempts=2, retry="1ms")
    stopping = Task(_stop_when_done, kv, consumer, seqs[-1], name="stopping")
    consumer.run(handle, concurrency=4)
    stopping.join(PATIENCE)
    assert sorted(handled) == sorted([seqs[0], seqs[1], seqs[1], *seqs[2:]])
    assert kv.consumers.requeue("fail") == 1
    (record,) = (kv.consumers.fetch("fail", "w")).records
    assert record == letter.record
    assert kv.consumers.delete_dead_letters("fail") == 1


def _stop_when_done(kv: Any, consumer: Any, last: int) -> None:
    def is_done() -> bool:
        return bool((kv.consumers.get("fail")).position >= last)

    until(is_done)
    consumer.stop()
    kv.set(["fail", "behind"], None)  # it waits, and this wakes it


def test_one_instance_is_at_work_and_another_goes_on(kv: Any) -> None:
    seqs = written(kv, "pair", 2)
    begun: list[int] = []
    first, second = (kv.consumer("pair", prefix=["pair"], batch=1) for _ in range(2))

    def stand_by() -> None:
        for record in second.records(commit="each"):
            begun.append(record.seq)
            second.stop()

    for record in first.records(commit="each"):
        assert record.seq == seqs[0]
        assert (kv.consumers.get("pair")).owner == first.owner
        standing_by = Task(stand_by, name="second")
        first.stop()
    standing_by.join(PATIENCE)
    assert begun == seqs[1:]
    assert [it.name for it in kv.consumers.list("pai")] == ["pair"]


def test_the_lock_is_prolonged_while_records_are_at_work(kv: Any) -> None:
    written(kv, "slow", 1)
    consumer = kv.consumer("slow", prefix=["slow"], lock_duration="3s")
    ends: set[int] = set()

    def was_prolonged() -> bool:
        ends.add((kv.consumers.get("slow")).until)
        return len(ends) > 2

    for _ in consumer.records(commit="each"):
        until(was_prolonged)
        consumer.stop()


def test_looks_and_positions(kv: Any) -> None:
    assert kv.consumers.get("nobody") is None
    assert not kv.consumers.delete("nobody")
    seqs = written(kv, "look", 3)
    assert [it.seq for it in kv.consumers.peek("look", prefix=["look"], limit=2)] == seqs[:2]
    assert [it.seq for it in kv.consumers.peek("look", type="none")] == []
    batch = kv.consumers.fetch("look", "w", after=seqs[0], prefix=["look"], wait=1)
    assert [it.seq for it in batch.records] == seqs[1:]
    failure = kv.consumers.nack("look", batch.token, seqs[0], error="x", max_attempts=9)
    assert (failure.attempts, failure.dead, failure.position) == (1, False, seqs[0] - 1)
    failing = (kv.consumers.get("look")).failing
    assert (failing.seq, failing.attempts, failing.error) == (seqs[0], 1, "x")
    assert kv.consumers.commit("look", batch.token, seqs[1]) == seqs[1]
    assert kv.consumers.release("look", "w", token=batch.token)
    assert kv.consumers.delete("look")
    for wrong in ({"lock_duration": 0}, {"owner": ""}, {"max_attempts": 0}, {"batch": 0}):
        with pytest.raises(InvalidInput):
            kv.consumer("look", **wrong)
