"""Atomic commits and transactions, against a live server."""

from __future__ import annotations

import time
from typing import Any

import pytest
from buntime_keyval import (
    BigInt,
    CommitResult,
    InvalidInput,
    RequestRejected,
    TransactionConflict,
    TransactionResult,
)
from buntime_keyval._transaction import Pauses
from client._async.beside import together


async def value(kv: Any, *key: Any) -> Any:
    return (await kv.get(list(key))).value


async def test_all_mutations(kv: Any) -> None:
    await kv.set(["temp"], 1)
    result = await (
        kv.atomic()
        .set(["post"], {"big": 2**60}, expires_in="1h")
        .delete(["temp"])
        .sum(["views"], 1)
        .sum(["views"], "2")
        .max(["high"], 100)
        .min(["low"], 50)
        .sum(["huge"], 2**70)
        .append(["tags"], ["new", b"\0"])
        .prepend(["history"], [{"a": None}])
        .enqueue({"to": "all"}, delay="1ms", backoff_schedule=["1s"], keys_if_undelivered=[["f"]])
        .commit()
    )
    assert result.ok
    assert (await kv.get(["post"])).versionstamp == result.versionstamp
    assert await value(kv, "post") == {"big": 2**60}
    assert await value(kv, "temp") is None
    assert await value(kv, "views") == 3
    assert await value(kv, "high") == 100
    assert await value(kv, "low") == 50
    assert await value(kv, "huge") == BigInt(2**70)
    assert await value(kv, "tags") == ["new", b"\0"]
    assert await value(kv, "history") == [{"a": None}]
    assert (await kv.queue_stats()).total == 1


async def test_checks(kv: Any) -> None:
    missing = await kv.get(["a"])
    assert (await kv.atomic().check(missing).set(["a"], 1).commit()).ok
    assert await kv.atomic().check(missing).set(["a"], 2).commit() == CommitResult(ok=False)
    entry = await kv.get(["a"])
    pair = (["a"], entry.versionstamp)
    assert (await kv.atomic().check(pair, (["b"], None)).set(["a"], 3).commit()).ok
    failed = kv.atomic().check(pair).set(["a"], 4).enqueue(1)
    assert not (await failed.commit()).ok
    assert await value(kv, "a") == 3
    assert (await kv.queue_stats()).total == 0


async def test_placeholders_become_the_versionstamp(kv: Any) -> None:
    result = (
        await kv.atomic().set(["log", kv.uuidv7()], 1).set(["log", kv.uuidv7(), "x"], 2).commit()
    )
    keys = [entry.key async for entry in kv.list(["log"])]
    assert keys == [("log", result.versionstamp), ("log", result.versionstamp, "x")]
    with pytest.raises(InvalidInput, match="placeholder"):
        await kv.get(["log", kv.uuidv7()])


async def test_values_name_the_commit_that_writes_them(kv: Any) -> None:
    own = kv.uuidv7()
    result = await (
        kv.atomic().set(["orders", own], {"id": own}).append(["l"], [own]).patch(["p"], {"o": own})
    ).commit()
    stamp = result.versionstamp
    assert await value(kv, "orders", stamp) == {"id": stamp}
    assert await value(kv, "l") == [stamp]
    assert await value(kv, "p") == {"o": stamp}
    alone = await kv.set(["alone"], {"id": own})
    assert await value(kv, "alone") == {"id": alone.versionstamp}
    patched = await kv.patch(["alone"], {"by": own})
    assert await value(kv, "alone") == {"id": alone.versionstamp, "by": patched.versionstamp}
    with pytest.raises(InvalidInput, match="uuidv7 placeholder is allowed only"):
        await kv.enqueue({"id": own})


async def test_a_mutation_that_does_not_fit_is_an_error(kv: Any) -> None:
    await kv.set(["text"], "text")
    with pytest.raises(RequestRejected, match="requires a numeric value"):
        await kv.atomic().set(["other"], 1).sum(["text"], 1).commit()
    assert not (await kv.get(["other"])).exists
    for wrong in (True, 1.5, None):
        with pytest.raises(InvalidInput):
            kv.atomic().sum(["n"], wrong)
    no_pairs: list[Any] = [["a"], "a", 5, (("a",), None, None)]
    for no_pair in no_pairs:
        with pytest.raises(
            InvalidInput, match=r"check takes entries, or pairs .*\(\['a'\], None\)"
        ):
            kv.atomic().check(no_pair)
    with pytest.raises(InvalidInput, match="list or tuple"):
        kv.atomic().append(["n"], "text")


async def test_transaction_as_function(kv: Any) -> None:
    await kv.set(["from"], {"balance": 10})
    await kv.set(["to"], {"balance": 0})

    async def transfer(tx: Any) -> int:
        source, target = await tx.get([["from"], ["to"]])
        tx.set(["from"], {"balance": source.value["balance"] - 4})
        tx.set(["to"], {"balance": target.value["balance"] + 4})
        tx.sum(["count"], 1)
        tx.append(["log"], ["x"])
        tx.enqueue({"done": True})
        assert (await tx.get(["from"])) is source  # buffered writes are not seen
        assert (tx.read_count, tx.write_count) == (2, 5)
        return 4

    result = await kv.transaction(transfer)
    assert result == TransactionResult(ok=True, value=4, versionstamp=result.versionstamp)
    assert await value(kv, "to") == {"balance": 4}
    assert (await kv.get(["from"])).versionstamp == result.versionstamp
    assert (await kv.queue_stats()).pending == 1


async def test_conflicting_transactions_run_again(kv: Any) -> None:
    await kv.set(["n"], 0)
    runs = 0

    async def disturbed(tx: Any) -> int:
        nonlocal runs
        runs += 1
        entry = await tx.get(["n"])
        if runs < 3:
            await kv.set(["n"], runs * 10)
        tx.set(["n"], entry.value + 1)
        return runs

    assert await kv.transaction(disturbed) == TransactionResult(ok=False, error="conflict")
    result = await kv.transaction(disturbed, max_retries=3, retry_delay="1ms")
    assert (result.ok, result.value) == (True, 3)
    assert await value(kv, "n") == 21
    with pytest.raises(InvalidInput):
        await kv.transaction(disturbed, max_retries=-1)


async def test_a_missing_and_a_null_key_can_be_guarded(kv: Any) -> None:
    await kv.set(["null"], None)

    async def fill(tx: Any) -> None:
        for key in (["null"], ["missing"], [True], ["1"], [1]):
            entry = await tx.get(key)
            tx.set(key, repr(entry.value))

    assert (await kv.transaction(fill)).ok
    assert await value(kv, "null") == "None"


async def test_exceptions_propagate_and_nothing_is_written(kv: Any) -> None:
    runs = []

    async def broken(tx: Any) -> None:
        runs.append(1)
        tx.set(["n"], 1)
        raise KeyError("of the caller")

    with pytest.raises(KeyError):
        await kv.transaction(broken, max_retries=5)
    assert runs == [1]

    async def broken_block() -> None:
        async with kv.begin() as tx:
            tx.set(["n"], 1)
            raise KeyError

    with pytest.raises(KeyError):
        await broken_block()
    assert not (await kv.get(["n"])).exists


async def test_transaction_as_context(kv: Any) -> None:
    async with kv.begin() as tx:
        tx.set(["n"], (await tx.get(["n"])).value or 1)
    assert tx.result.ok
    with pytest.raises(RuntimeError, match="already committed"):
        tx.set(["n"], 2)

    async def disturbed() -> None:
        async with kv.begin() as tx:
            tx.sum(["n"], (await tx.get(["n"])).value)
            await kv.set(["n"], 100)

    with pytest.raises(TransactionConflict):
        await disturbed()
    assert await value(kv, "n") == 100


async def test_attempts(kv: Any) -> None:
    await kv.set(["n"], 0)
    runs = 0
    async for attempt in kv.attempts(max_retries=3, retry_delay=1):
        async with attempt as tx:
            runs += 1
            tx.set(["n"], (await tx.get(["n"])).value + 1)
            if runs < 3:
                await kv.set(["n"], 10 * runs)
    assert (runs, await value(kv, "n")) == (3, 21)

    async def hopeless() -> None:
        nonlocal runs
        async for attempt in kv.attempts(max_retries=1, retry_delay=1):
            async with attempt as tx:
                runs += 1
                await tx.get(["n"])
                await kv.set(["n"], runs)

    with pytest.raises(TransactionConflict):
        await hopeless()
    assert runs == 5
    with pytest.raises(RuntimeError, match="has to be entered"):
        async for _ in kv.attempts():
            pass


async def test_transactions_side_by_side_lose_nothing(kv: Any) -> None:
    async def add(tx: Any) -> None:
        tx.set(["n"], ((await tx.get(["n"])).value or 0) + 1)

    async def commit() -> Any:
        return await kv.transaction(add, max_retries=50, retry_delay=2)

    results = await together(*[commit] * 6)
    assert all(result.ok for result in results)
    assert await value(kv, "n") == 6


async def test_typed_keys_in_a_transaction(kv: Any) -> None:
    keys = [["k", 1], ["k", "1"], ["k", True], ["k", b"1"]]
    for key in keys:
        await kv.set(key, repr(key))

    async def read(tx: Any) -> list[Any]:
        values = [(await tx.get(key)).value for key in keys]
        assert tx.read_count == len(keys)
        tx.set(["done"], True)
        return values

    result = await kv.transaction(read)
    assert (result.ok, result.value) == (True, [repr(key) for key in keys])


async def test_a_retry_delay_of_nothing_is_none(kv: Any) -> None:
    async def hopeless(tx: Any) -> None:
        await tx.get(["n"])
        await kv.set(["n"], time.monotonic())

    assert [Pauses(3, 0).before(attempt) for attempt in range(4)] == [0.0] * 4
    result = await kv.transaction(hopeless, max_retries=5, retry_delay=0)
    assert (result.ok, result.error) == (False, "conflict")
