"""The same in process and behind HTTP: commits and transactions."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from buntime_keyval import (
    BigInt,
    IdempotencyKeyReused,
    InvalidInput,
    KvMissing,
    TransactionConflict,
)
from client.one_shape.kinds import AnyKv

pytestmark = pytest.mark.slow


async def test_what_has_the_same_key_is_done_once(kv: AnyKv) -> None:
    users = kv.store(["users"])
    (await kv.set(["gone"], 1), await kv.set(["gone", 1], 1))
    for use in (
        lambda key: kv.set(["a"], 1, metadata={"by": "me"}, idempotency_key=key),
        lambda key: kv.atomic().sum(["n"], 1).commit(idempotency_key=key),
        lambda key: (
            kv.atomic()
            .check(KvMissing(("b",), None, None))
            .set(["b"], 1)
            .commit(idempotency_key=key)
        ),
        lambda key: kv.atomic().check(KvMissing(("b",), None, None)).commit(idempotency_key=key),
        lambda key: kv.delete(["gone"], idempotency_key=key),
        lambda key: kv.delete([["b"], ["none"]], exact=True, idempotency_key=key),
        lambda key: kv.enqueue({"x": kv.now()}, idempotency_key=key),
        lambda key: users.set(1, "Ada", idempotency_key=key),
        lambda key: users.delete(1, idempotency_key=key),
        lambda key: kv.create_index(["a"], fields=["x"], idempotency_key=key),
        lambda key: kv.remove_index(["a"], idempotency_key=key),
        lambda key: kv.dlq.delete("unknown", idempotency_key=key),
        lambda key: kv.dlq.purge(idempotency_key=key),
    ):
        key = f"key-{uuid.uuid4()}"
        first = await use(key)
        assert await use(key) == first
    assert (await kv.get(["n"])).value == 1
    assert (await kv.queue_stats()).total == 1
    with pytest.raises(IdempotencyKeyReused):
        await kv.set(["a"], "something else", idempotency_key=key)
    with pytest.raises(InvalidInput, match="visible ASCII"):
        await kv.enqueue(1, idempotency_key="two words")
    with pytest.raises(InvalidInput, match="not for everything"):
        await kv.delete([], everything=True, idempotency_key="k")


async def test_commits(kv: AnyKv) -> None:
    entry = await kv.get(["n"])
    result = await (
        kv.atomic()
        .check(entry, (["x"], None))
        .set(["log", kv.uuidv7()], "first", expires_in="1h")
        .sum(["n"], 2**60)
        .max(["top"], 5)
        .min(["low"], "-3")
        .append(["list"], [2])
        .prepend(["list"], [1])
        .delete(["none"])
        .enqueue({"job": 1}, backoff_schedule=[])
        .commit()
    )
    assert result.ok
    assert (await kv.get(["log", str(result.versionstamp)])).value == "first"
    values = [it.value for it in await kv.get([["n"], ["top"], ["low"], ["list"]])]
    assert values == [BigInt(2**60), 5, -3, [1, 2]]
    message = await kv.dequeue()
    assert message is not None
    assert message.value == {"job": 1}
    await kv.ack_message(message)
    again = await kv.atomic().check(entry).enqueue("never").commit()
    assert (again.ok, again.versionstamp) == (False, None)
    await kv.set(["text"], "text")
    with pytest.raises(InvalidInput, match="numeric"):
        await kv.atomic().sum(["text"], 1).commit()
    fraction: Any = 1.5
    with pytest.raises(InvalidInput, match="integer"):
        kv.atomic().sum(["n"], fraction)


async def test_transactions(kv: AnyKv) -> None:
    await kv.set(["a"], 1)
    runs = 0

    async def move(tx: Any) -> str:
        nonlocal runs
        runs += 1
        value = (await tx.get(["a"])).value
        if runs == 1:
            await kv.set(["a"], 10)
        tx.set(["b"], value)
        tx.sum(["moves"], 1, expires_in="1h")
        tx.enqueue({"moved": value})
        return "done"

    result = await kv.transaction(move, max_retries=2, retry_delay="1ms")
    assert (result.ok, result.value, runs) == (True, "done", 2)
    message = await kv.dequeue()
    assert message is not None
    assert message.value == {"moved": 10}
    await kv.ack_message(message)
    assert (await kv.get(["b"])).versionstamp == result.versionstamp

    async def conflict() -> None:
        async with kv.begin() as tx:
            await tx.get(["a"])
            await kv.set(["a"], 11)
            tx.enqueue("never")

    with pytest.raises(TransactionConflict):
        await conflict()
    assert (await kv.queue_stats()).pending == 0
    tries = 0
    async for attempt in kv.attempts(retry_delay=0):
        tries += 1
        async with attempt as tx:
            await tx.get([["a"], ["b"]])
            if tries == 1:
                await kv.set(["b"], 0)
            tx.append(["tries"], [tries])
    assert (await kv.get(["tries"])).value == [2]


async def test_a_transaction_takes_the_options_of_a_commit(kv: AnyKv) -> None:
    at = 2_000_000_000_000
    async with kv.begin() as tx:
        tx.sum(["sum"], 1, expires_at=at, metadata="s")
        tx.max(["max"], 1, expires_at=at, metadata="s")
        tx.min(["min"], 1, expires_at=at, metadata="s")
        tx.append(["append"], [1], expires_at=at, metadata="s")
        tx.prepend(["prepend"], [1], expires_at=at, metadata="s")
    for name in ("sum", "max", "min", "append", "prepend"):
        details = (await kv.get_with_metadata([name])).details
        assert details is not None, name
        assert (details.metadata, details.expires_at) == ("s", at)
