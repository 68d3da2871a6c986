# Made by scripts/unasync from _async/test_clients_of_replicas.py: change that one.
"""A client that comes to another of two hosts with each request, where reads are of a replica."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from buntime_keyval import InvalidInput, Kv, TransactionConflict
from keyval.libsql._sync.strong_reads import reads_of
from keyval.libsql.moving import Moving
from support.api import Api

ROUNDS = 30


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
        seen = -1
        for number in range(ROUNDS):
            other.set(["rising"], number)
            if number % 3 == 0:  # seen on the primary, and then perhaps not on a replica
                assert (kv.get(["rising"])).value is not None
            for _ in range(3):
                value = (kv.get(["rising"])).value
                assert value is not None
                assert value >= seen
                seen = value


def test_it_forgets_the_position_of_a_log_that_is_no_more(kv: Any, moving: Moving) -> None:
    moving.next_told = str(10**14)
    kv.set(["a"], 1)
    assert (kv.get(["a"])).value == 1
    assert moving.sent[-1] == str(10**14)
    assert (kv.get(["a"])).value == 1
    assert moving.sent[-1] == moving.told[-2]


def test_a_strong_read_sees_what_others_wrote(kv: Any, hosts: list[Api]) -> None:
    kv.create_index(["strong"], fields=["word"])
    with Kv(hosts[0].base) as other:
        for number in range(ROUNDS // 2):
            other.set(["strong", number], {"word": f"w{number}"})
            value = {"word": f"w{number}"}
            for read in reads_of(kv, number):
                assert read == value, number
            assert kv.count(["strong"], consistency="strong") == number + 1
            other.set(["strong", number + 1], {"word": "gone"})
            assert kv.has(["strong", number + 1], consistency="strong")
            other.delete(["strong", number + 1])
            assert not kv.has(["strong", number + 1], consistency="strong")


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
