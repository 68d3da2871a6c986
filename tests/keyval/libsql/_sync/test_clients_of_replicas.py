# Made by scripts/unasync from _async/test_clients_of_replicas.py: change that one.
"""A client that comes to another of two hosts with each request, where reads are of a replica."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from buntime_keyval import InvalidInput, Kv, TransactionConflict
from keyval.libsql._sync.strong_reads import check_strong_reads
from keyval.libsql.moving import Moving
from support.api import Api
from support.sampling import share_of

ROUNDS = share_of(30)


@pytest.fixture
def moving(hosts: list[Api]) -> Moving:
    return Moving([host.base for host in hosts])


@pytest.fixture
def kv(hosts: list[Api], moving: Moving) -> Iterator[Kv]:
    with Kv(hosts[0].base, transport=moving) as client:
        yield client


def test_it_reads_what_it_wrote_to_the_other_host(kv: Any, moving: Moving) -> None:
    for number in range(ROUNDS):
        kv.set(["own", "a"], number)
        assert (kv.get(["own", "a"])).value == number
        kv.set(["own", "more", number], number)
        assert kv.count(["own", "more"]) == number + 1
        kv.set(["own", "a"], -number)
        assert [entry.value for entry in kv.get([["own", "a"]])] == [-number]
        kv.delete(["own", "a"])
        assert not kv.has(["own", "a"])
    listed = [entry.value for entry in kv.list(["own", "more"], page_size=7)]
    assert listed == list(range(ROUNDS))
    told = [int(position) for position in moving.told if position is not None]
    assert len(told) == len(moving.told)  # each answer, also a 404
    newest = None
    for sent, position in zip(moving.sent, told, strict=True):
        assert sent == (None if newest is None else str(newest))
        newest = position if newest is None else max(newest, position)


def test_what_it_reads_never_goes_back(kv: Any, hosts: list[Api]) -> None:
    with Kv(hosts[0].base) as other:
        for number in range(ROUNDS):
            other.set(["rising"], number)
            # Seen on the primary, and then perhaps not on a replica.
            assert (kv.get(["rising"], consistency="strong")).value == number
            for _ in range(3):
                assert (kv.get(["rising"])).value == number


def test_it_forgets_the_position_of_a_log_that_is_no_more(kv: Any, moving: Moving) -> None:
    moving.next_told = str(10**14)
    kv.set(["a"], 1)
    assert (kv.get(["a"])).value == 1
    assert moving.sent[-1] == str(10**14)
    assert (kv.get(["a"])).value == 1
    assert moving.sent[-1] == moving.told[-2]


def test_a_strong_read_sees_what_others_wrote(kv: Any, hosts: list[Api]) -> None:
    with Kv(hosts[0].base) as other:
        check_strong_reads(kv, other, ROUNDS // 8)


def test_who_is_told_of_a_change_finds_it_at_the_other_host(kv: Any, hosts: list[Api]) -> None:
    with Kv(hosts[0].base) as other:
        other.set(["watched"], 0)
        watch = kv.watch(["watched"], exact=True)
        batches = iter(watch)
        for number in range(1, ROUNDS):
            (entry,) = next(batches)
            for _ in hosts:
                assert (kv.get(["watched"])).value >= entry.value
            other.set(["watched"], number)
        watch.stop()


def test_who_is_given_a_message_finds_what_was_written_with_it(kv: Any, hosts: list[Api]) -> None:
    with Kv(hosts[0].base) as other:
        listener = kv.listen_queue()
        deliveries = iter(listener)
        for number in range(ROUNDS):
            other.atomic().set(["job"], number).enqueue(number).commit()
            delivery = next(deliveries)
            assert delivery.value == number
            for _ in hosts:
                assert (kv.get(["job"])).value == number
        listener.stop()


def test_what_a_transaction_reads_is_of_the_primary(kv: Any, hosts: list[Api]) -> None:
    """So nobody but who wrote in between can make it fail."""
    with Kv(hosts[0].base) as other:
        for number in range(ROUNDS):
            other.set(["counter"], number)
            try:
                with kv.begin() as tx:
                    entry = tx.get(["counter"])
                    tx.set(["counter"], entry.value + 1)
            except TransactionConflict as error:
                raise AssertionError(f"round {number} read an old value") from error
            assert entry.value == number


def test_what_is_no_consistency_is_refused_before_anything_is_sent(kv: Any, moving: Moving) -> None:
    for name in ("get", "get_with_metadata", "has", "count", "paginate"):
        with pytest.raises(InvalidInput, match='must be "strong" or "eventual", received'):
            getattr(kv, name)(["a"], consistency="weak")
    with pytest.raises(InvalidInput, match="consistency"):
        list(kv.list(["a"], consistency=None))
    assert moving.sent == []
