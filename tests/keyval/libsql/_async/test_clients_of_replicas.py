"""A client that comes to another of two hosts with each request, where reads are of a replica."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from buntime_keyval import AsyncKv, InvalidInput, TransactionConflict
from keyval.libsql._async.strong_reads import reads_of
from keyval.libsql.moving import Moving
from support.api import Api

ROUNDS = 30


@pytest.fixture
def moving(hosts: list[Api]) -> Moving:
    return Moving([host.base for host in hosts])


@pytest.fixture
async def kv(hosts: list[Api], moving: Moving) -> AsyncIterator[AsyncKv]:
    async with AsyncKv(hosts[0].base, transport=moving) as client:
        yield client


async def test_it_reads_what_it_wrote_to_the_other_host(kv: Any, moving: Moving) -> None:
    for number in range(ROUNDS):
        await kv.set(["own", "a"], number)
        assert (await kv.get(["own", "a"])).value == number
        await kv.set(["own", "more", number], number)
        assert await kv.count(["own", "more"]) == number + 1
        await kv.set(["own", "a"], -number)
        assert [entry.value for entry in await kv.get([["own", "a"]])] == [-number]
        await kv.delete(["own", "a"])
        assert not await kv.has(["own", "a"])
    listed = [entry.value async for entry in kv.list(["own", "more"], page_size=7)]
    assert listed == list(range(ROUNDS))
    told = [int(position) for position in moving.told if position is not None]
    assert len(told) == len(moving.told)  # each answer, also a 404
    newest = None
    for sent, position in zip(moving.sent, told, strict=True):
        assert sent == (None if newest is None else str(newest))
        newest = position if newest is None else max(newest, position)


async def test_what_it_reads_never_goes_back(kv: Any, hosts: list[Api]) -> None:
    async with AsyncKv(hosts[0].base) as other:
        seen = -1
        for number in range(ROUNDS):
            await other.set(["rising"], number)
            if number % 3 == 0:  # seen on the primary, and then perhaps not on a replica
                assert (await kv.get(["rising"])).value is not None
            for _ in range(3):
                value = (await kv.get(["rising"])).value
                assert value is not None
                assert value >= seen
                seen = value


async def test_it_forgets_the_position_of_a_log_that_is_no_more(kv: Any, moving: Moving) -> None:
    moving.next_told = str(10**14)
    await kv.set(["a"], 1)
    assert (await kv.get(["a"])).value == 1
    assert moving.sent[-1] == str(10**14)
    assert (await kv.get(["a"])).value == 1
    assert moving.sent[-1] == moving.told[-2]


async def test_a_strong_read_sees_what_others_wrote(kv: Any, hosts: list[Api]) -> None:
    await kv.create_index(["strong"], fields=["word"])
    async with AsyncKv(hosts[0].base) as other:
        for number in range(ROUNDS // 2):
            await other.set(["strong", number], {"word": f"w{number}"})
            value = {"word": f"w{number}"}
            for read in reads_of(kv, number):
                assert await read == value, number
            assert await kv.count(["strong"], consistency="strong") == number + 1
            await other.set(["strong", number + 1], {"word": "gone"})
            assert await kv.has(["strong", number + 1], consistency="strong")
            await other.delete(["strong", number + 1])
            assert not await kv.has(["strong", number + 1], consistency="strong")


async def test_what_a_transaction_reads_is_of_the_primary(kv: Any, hosts: list[Api]) -> None:
    """So nobody but who wrote in between can make it fail."""
    async with AsyncKv(hosts[0].base) as other:
        for number in range(ROUNDS):
            await other.set(["counter"], number)
            try:
                async with kv.begin() as tx:
                    entry = await tx.get(["counter"])
                    tx.set(["counter"], entry.value + 1)
            except TransactionConflict as error:
                raise AssertionError(f"round {number} read an old value") from error
            assert entry.value == number


async def test_what_is_no_consistency_is_refused_before_anything_is_sent(
    kv: Any, moving: Moving
) -> None:
    for name in ("get", "get_with_metadata", "has", "count", "paginate"):
        with pytest.raises(InvalidInput, match='must be "strong" or "eventual", received'):
            await getattr(kv, name)(["a"], consistency="weak")
    with pytest.raises(InvalidInput, match="consistency"):
        [entry async for entry in kv.list(["a"], consistency=None)]
    assert moving.sent == []
