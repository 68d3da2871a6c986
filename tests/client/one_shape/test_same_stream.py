"""The same in process and behind HTTP: the stream of changes, its consumers, and locks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from buntime_keyval import (
    ConsumerLocked,
    InvalidInput,
    LockHeld,
    LockLost,
    PositionAhead,
    StaleConsumer,
    StreamRecord,
    StreamTrimmed,
)
from buntime_keyval._async import consumers as async_consumers
from buntime_keyval.shared import AsyncConsumer
from client._async.beside import until
from client.one_shape.kinds import AnyKv

pytestmark = pytest.mark.slow


async def test_the_stream(kv: AnyKv) -> None:
    begin = await kv.stream.seq()
    await kv.set(["a", 1], 1)
    stamp = (await kv.set(["b"], 1, type="thing")).versionstamp
    await kv.delete(["a", 1])
    page = await kv.stream.read(begin)
    assert [(it.action, it.key) for it in page.records] == [
        ("create", ("a", 1)),
        ("create", ("b",)),
        ("delete", ("a", 1)),
    ]
    assert page.records[1].versionstamp == stamp
    assert page.next == page.last == await kv.stream.seq()
    found = [it async for it in _first(kv.stream.follow(begin, prefix=["a"]), 2)]
    assert found == [page.records[0], page.records[2]]
    assert [it async for it in kv.stream(begin)] == page.records
    assert (await kv.stream.read(begin, action="delete")).records == [page.records[2]]
    assert (await kv.stream.read(begin, type="thing")).records == [page.records[1]]
    told = page.records[2]
    assert (told.version, told.type, told.value, told.has_value) == (1, None, None, False)
    assert (await kv.stream.read(since=page.records[0].at)).records[-3:] == page.records
    assert not (await kv.stream.read(page.next, wait=1)).records
    assert await kv.stream.trim(page.records[0].seq) > 0
    with pytest.raises(StreamTrimmed, match="the stream begins with") as trimmed:
        await kv.stream.read(begin)
    assert trimmed.value.first == page.records[0].seq + 1
    assert (await kv.stream.read(page.records[0].seq)).records == page.records[1:]
    for wrong in (-1, 1.5, True, "1"):
        with pytest.raises(InvalidInput, match="after must be a position"):
            await kv.stream.read(wrong)  # type: ignore[arg-type] # that is the point
    with pytest.raises(InvalidInput, match="after and since exclude each other"):
        await kv.stream.read(1, since=1)
    with pytest.raises(InvalidInput, match="since must be milliseconds"):
        await kv.stream.read(since=-1)
    with pytest.raises(InvalidInput, match="type must be a text"):
        await kv.stream.read(type=1)  # type: ignore[arg-type] # that is the point
    with pytest.raises(InvalidInput, match="action must be"):
        await kv.stream.read(action="put")  # type: ignore[arg-type] # as above


async def test_consumers(kv: AnyKv) -> None:
    begin = await kv.stream.seq()
    assert (await kv.consumers.set_position("c", begin)).position == begin
    for number in range(3):
        await kv.set(["c", number], number)
    consumer = kv.consumer("c", prefix=["c"], batch=2)
    async for record in consumer.records(commit="each"):
        if record.key == ("c", 1):
            consumer.stop()
    info = await kv.consumers.get("c")
    assert info is not None
    assert (info.lag, info.owner) == (1, None)
    assert [info] == await kv.consumers.list("c")
    (last,) = await kv.consumers.peek("c", prefix=["c"])
    batch = await kv.consumers.fetch("c", "w", wait=1)
    assert (batch.records, batch.position, batch.lag) == ([last], info.position, 1)
    with pytest.raises(ConsumerLocked, match="The consumer c is at work as w") as locked:
        await kv.consumers.fetch("c", "other")
    assert locked.value.owner == "w"
    assert isinstance(locked.value.until, int)
    with pytest.raises(PositionAhead, match="the stream ends with"):
        await kv.consumers.commit("c", batch.token, last.seq + 1)
    failure = await kv.consumers.nack("c", batch.token, last.seq, error="x", max_attempts=1)
    assert (failure.dead, failure.position) == (True, last.seq)
    (letter,) = await kv.consumers.dead_letters("c")
    assert (letter.record, letter.error, letter.requeued) == (last, "x", False)
    assert await kv.consumers.requeue("c", last.seq) == 1
    assert await kv.consumers.delete_dead_letters("c", last.seq) == 1
    assert await kv.consumers.release("c", "w", token=batch.token)
    done = kv.atomic().set(["done"], 1).commit_consumer("c", batch.token, last.seq)
    assert not (await done.commit()).ok
    with pytest.raises(StaleConsumer):
        await kv.consumers.commit("c", batch.token, last.seq)
    assert await kv.consumers.delete("c")
    for wrong in (-1, True, "1"):
        with pytest.raises(InvalidInput):
            await kv.consumers.set_position("c", wrong)  # type: ignore[arg-type] # that is the point
    with pytest.raises(InvalidInput, match="token must be the token of a fetch"):
        kv.atomic().commit_consumer("c", "", 1)


async def test_a_consumer_that_waits_stops_at_once(
    kv: AnyKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(async_consumers, "WAIT_SECONDS", 60.0)
    monkeypatch.setattr(async_consumers, "_LONGEST_PAUSE", 3600.0)
    await kv.consumers.set_position("s", await kv.stream.seq())
    at_work, standing_by, fails = (kv.consumer("s", prefix=["s"], retry="1h") for _ in range(3))

    async def refuse(_: StreamRecord) -> None:
        raise ValueError("not today")

    def state(consumer: AsyncConsumer, what: str) -> Callable[[], Awaitable[bool]]:
        async def holds() -> bool:
            info = await kv.consumers.get("s")
            assert info is not None
            return bool(info.failing if what == "fails" else info.owner == consumer.owner)

        return holds

    async with asyncio.timeout(30), asyncio.TaskGroup() as running:
        running.create_task(at_work.run(refuse))
        await until(state(at_work, "has it"))
        waits = running.create_task(standing_by.run(refuse))
        await asyncio.sleep(0.05)
        standing_by.stop()
        await waits
        at_work.stop()
    async with asyncio.timeout(30), asyncio.TaskGroup() as running:
        await kv.set(["s", 1], 1)
        running.create_task(fails.run(refuse))
        await until(state(fails, "fails"))
        fails.stop()
        fails.stop()
    # Nobody has to wait for a lock that one of them left behind.
    assert (await kv.consumers.fetch("s", "next")).records


async def _first(records: AsyncIterator[StreamRecord], number: int) -> AsyncIterator[StreamRecord]:
    async for record in records:
        yield record
        number -= 1
        if not number:
            return


async def test_locks(kv: AnyKv) -> None:
    async with kv.lock("a", ttl="20s", metadata={"at": kv.now(), "big": 2**60}) as lock:
        with pytest.raises(LockHeld, match="The lock a is held by"):
            await kv.locks.acquire("a", "w", wait=1)
        assert (await kv.atomic().check_lock("a", lock.token).set(["a"], 1).commit()).ok
        found = await kv.locks.get("a")
        assert found is not None
        assert isinstance(found.metadata["at"], int)
        assert [found] == await kv.locks.list("a")
        stolen = await kv.locks.steal("a", "thief")
        assert not (await kv.atomic().check_lock("a", lock.token).set(["a"], 2).commit()).ok
        with pytest.raises(LockLost, match="no longer held under this token"):
            await kv.locks.renew("a", lock.owner, lock.token)
    assert await kv.locks.release("a", "thief", token=stolen.token)
    with pytest.raises(InvalidInput, match="wait must be at most 600000"):
        await kv.locks.acquire("a", "w", wait="11m")
