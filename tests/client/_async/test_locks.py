"""Locks, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import AsyncKv, InvalidInput, LockHeld, LockLost
from client._async.beside import Started, until


async def test_a_block_holds_it(kv: Any) -> None:
    async with kv.lock("report", metadata={"by": "me"}) as lock:
        found = await kv.locks.get("report")
        assert (found.owner, found.token, found.metadata) == (lock.owner, lock.token, {"by": "me"})
        with pytest.raises(LockHeld, match="The lock report is held by"):
            await kv.lock("report").acquire()
        done = await kv.atomic().check_lock(lock.name, lock.token).set(["a"], 1).commit()
        assert done.ok
        assert not lock.lost
    assert await kv.locks.get("report") is None
    assert not await lock.release()
    with pytest.raises(LockLost):
        assert lock.token
    with pytest.raises(ZeroDivisionError):
        async with kv.lock("report"):
            raise ZeroDivisionError
    assert await kv.locks.list("rep") == []


async def test_it_is_prolonged_while_the_block_runs(kv: Any) -> None:
    async with kv.lock("report", ttl="3s") as lock:
        ends: set[int] = set()

        async def was_prolonged() -> bool:
            found = await kv.locks.get("report")
            assert found.token == lock.token
            ends.add(found.expires_at)
            return len(ends) > 2

        await until(was_prolonged)


async def test_a_block_that_has_lost_it_does_nothing_more(kv: Any) -> None:
    with pytest.raises(LockLost, match="The lock report was lost"):  # noqa: PT012 - of the block
        async with kv.lock("report", ttl="3s") as lock:
            await kv.locks.steal("report", "thief", duration="1h")
            await until(lambda: lock.lost)
            await kv.set(["a"], "written without the lock")
    with pytest.raises(LockLost):  # noqa: PT012 - as above
        async with kv.lock("other", ttl="3s") as lock:
            await kv.locks.steal("other", "thief")
            await until(lambda: lock.lost)
    # Behind the block the same client works.
    assert (await kv.get(["a"])).value is None
    assert (await kv.locks.get("report")).owner == "thief"


async def test_blocks_inside_of_each_other(kv: Any) -> None:
    with pytest.raises(LockLost, match="The lock outer was lost"):  # noqa: PT012 - of the block
        async with kv.lock("outer", ttl="3s") as outer, kv.lock("inner") as inner:
            await kv.locks.steal("outer", "thief")
            await until(lambda: outer.lost)
            assert not inner.lost
            await kv.get(["a"])
    assert await kv.locks.get("inner") is None


async def test_waiting_takes_several_requests_and_one_place(api: str) -> None:
    async with AsyncKv(api, timeout="1s") as kv:
        await kv.locks.acquire("a", "w0", duration="1h")

        async def wait_for_it() -> Any:
            return await kv.locks.acquire("a", "w1", wait="1m")

        async def is_in_line() -> bool:
            found = await kv.locks.get("a")
            return found is not None and found.waiting == 1

        first = Started(wait_for_it)
        await until(is_in_line)
        with pytest.raises(LockHeld):
            await kv.locks.acquire("a", "w2", wait="1200ms")
        assert not first.done
        assert await kv.locks.release("a", "w0")
        assert [it.token for it in await kv.locks.list()] == [(await first.result()).token]


async def test_input_is_checked_before_anything_is_sent(kv: Any) -> None:
    for wrong in ("", "a\n", "x" * 257, None, 7):
        with pytest.raises(InvalidInput, match="1 to 256 characters"):
            kv.lock(wrong)
        with pytest.raises(InvalidInput, match="owner must be"):
            await kv.locks.acquire("a", wrong)
    with pytest.raises(InvalidInput, match="ttl must be more than 0"):
        kv.lock("a", ttl=0)
    with pytest.raises(InvalidInput, match="duration must be more than 0"):
        await kv.locks.acquire("a", "w", duration=0)
    with pytest.raises(InvalidInput, match="token must be"):
        await kv.locks.renew("a", "w", "")
    with pytest.raises(InvalidInput, match="prefix must be"):
        await kv.locks.list(7)
