"""What is leased to a caller who is cancelled goes to others at once, not when its time is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any

import pytest
from buntime_host import InProcess
from buntime_keyval import AsyncKv, open_kv
from client._async.beside import until

Call = Callable[[AsyncKv], Coroutine[Any, Any, Any]]


@pytest.fixture
async def kv() -> AsyncIterator[AsyncKv]:
    async with open_kv(":memory:") as client:
        await client.enqueue("message", backoff_schedule=[])
        await client.tasks.send("task", max_retries=1)
        await client.set(["a"], 1)
        yield client


async def lock(kv: AsyncKv) -> object:
    return await kv.locks.acquire("a", "w1", duration="1h")


async def lock_in_line(kv: AsyncKv) -> object:
    return await kv.locks.acquire("a", "w1", duration="1h", wait="1m")


async def steal(kv: AsyncKv) -> object:
    return await kv.locks.steal("a", "w1", duration="1h")


async def lock_is_free(kv: AsyncKv) -> bool:
    return await kv.locks.get("a") is None


async def message(kv: AsyncKv) -> object:
    return await kv.dequeue()


async def message_is_free(kv: AsyncKv) -> bool:
    return (await kv.queue_stats()).processing == 0


async def task(kv: AsyncKv) -> object:
    return await kv.tasks.lease("w1", ["task"], duration="1h")


async def task_later(kv: AsyncKv) -> object:
    return await kv.tasks.lease("w1", ["task"], duration="1h", wait="1m")


async def task_is_free(kv: AsyncKv) -> bool:
    return await kv.tasks.stats() == {"task": {"pending": 1}}


async def records(kv: AsyncKv) -> object:
    return await kv.consumers.fetch("mailer", "w1", lock_duration="1h")


async def consumer_is_free(kv: AsyncKv) -> bool:
    found = await kv.consumers.get("mailer")
    return found is None or found.owner is None


LEASED: list[tuple[Call, Call]] = [
    (lock, lock_is_free),
    (lock_in_line, lock_is_free),
    (steal, lock_is_free),
    (message, message_is_free),
    (task, task_is_free),
    (task_later, task_is_free),
    (records, consumer_is_free),
]


@pytest.mark.parametrize(("call", "is_free"), LEASED, ids=lambda it: it.__name__)
async def test_who_leaves_in_the_turn_of_the_answer_has_nothing(
    kv: AsyncKv, call: Call, is_free: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = InProcess._keep
    calling: asyncio.Task[Any] | None = None

    def kept(self: InProcess, running: asyncio.Future[Any]) -> None:
        keep(self, running)
        task = asyncio.current_task()
        if task is not None and task is calling:
            running.add_done_callback(lambda _: task.cancel())

    monkeypatch.setattr(InProcess, "_keep", kept)
    for _ in range(2):  # whoever comes next is given it, and leaves as well
        calling = asyncio.create_task(call(kv))
        await asyncio.wait({calling})
        assert calling.cancelled()
        await until(lambda: is_free(kv))
    calling = None
    assert await call(kv)
    assert not await is_free(kv)


@pytest.mark.parametrize(("call", "is_free"), LEASED, ids=lambda it: it.__name__)
async def test_who_leaves_at_any_moment_has_nothing(kv: AsyncKv, call: Call, is_free: Call) -> None:
    for turns in range(1, 30):
        calling = asyncio.create_task(call(kv))
        for _ in range(turns):
            await asyncio.sleep(0)
        if not calling.cancel():
            break
        await asyncio.wait({calling})
        await until(lambda: is_free(kv))
    else:
        assert await call(kv)
    assert not await is_free(kv)


async def test_a_lock_that_is_asked_for_again_stays(kv: AsyncKv) -> None:
    """Also where the call that gave it is the one that nobody waited for."""
    first = asyncio.create_task(lock(kv))
    second = asyncio.create_task(kv.locks.acquire("a", "w1", duration="2h"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert first.cancel()
    granted = await second
    await asyncio.wait({first})
    assert await kv.locks.release("a", "w1", token=granted.token)


async def test_what_somebody_had_before_he_keeps(kv: AsyncKv) -> None:
    before = await kv.locks.acquire("a", "w1", duration="1h")
    for turns in range(10):
        again = asyncio.create_task(lock(kv))
        for _ in range(turns):
            await asyncio.sleep(0)
        again.cancel()
        await asyncio.wait({again})
    assert await kv.locks.release("a", "w1", token=before.token)
