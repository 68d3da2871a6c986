# Made by scripts/unasync from _async/test_locks.py: change that one.
"""Locks, against a live server."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import InvalidInput, Kv, LockHeld, LockLost
from client._sync.beside import Started, until


def test_a_block_holds_it(kv: Any) -> None:
    with kv.lock("report", metadata={"by": "me"}) as lock:
        found = kv.locks.get("report")
        assert (found.owner, found.token, found.metadata) == (lock.owner, lock.token, {"by": "me"})
        with pytest.raises(LockHeld, match="The lock report is held by"):
            kv.lock("report").acquire()
        done = kv.atomic().check_lock(lock.name, lock.token).set(["a"], 1).commit()
        assert done.ok
        assert not lock.lost
    assert kv.locks.get("report") is None
    assert not lock.release()
    with pytest.raises(LockLost):
        assert lock.token
    with pytest.raises(ZeroDivisionError):
        with kv.lock("report"):
            raise ZeroDivisionError
    assert kv.locks.list("rep") == []


def test_it_is_prolonged_while_the_block_runs(kv: Any) -> None:
    with kv.lock("report", ttl="3s") as lock:
        ends: set[int] = set()

        def was_prolonged() -> bool:
            found = kv.locks.get("report")
            assert found.token == lock.token
            ends.add(found.expires_at)
            return len(ends) > 2

        until(was_prolonged)


def test_a_block_that_has_lost_it_does_nothing_more(kv: Any) -> None:
    with pytest.raises(LockLost, match="The lock report was lost"):  # noqa: PT012 - of the block
        with kv.lock("report", ttl="3s") as lock:
            kv.locks.steal("report", "thief", duration="1h")
            until(lambda: lock.lost)
            kv.set(["a"], "written without the lock")
    with pytest.raises(LockLost):  # noqa: PT012 - as above
        with kv.lock("other", ttl="3s") as lock:
            kv.locks.steal("other", "thief")
            until(lambda: lock.lost)
    # Behind the block the same client works.
    assert (kv.get(["a"])).value is None
    assert (kv.locks.get("report")).owner == "thief"


def test_blocks_inside_of_each_other(kv: Any) -> None:
    with pytest.raises(LockLost, match="The lock outer was lost"):  # noqa: PT012 - of the block
        with kv.lock("outer", ttl="3s") as outer, kv.lock("inner") as inner:
            kv.locks.steal("outer", "thief")
            until(lambda: outer.lost)
            assert not inner.lost
            kv.get(["a"])
    assert kv.locks.get("inner") is None


def test_waiting_takes_several_requests_and_one_place(api: str) -> None:
    with Kv(api, timeout="1s") as kv:
        kv.locks.acquire("a", "w0", duration="1h")

        def wait_for_it() -> Any:
            return kv.locks.acquire("a", "w1", wait="1m")

        def is_in_line() -> bool:
            found = kv.locks.get("a")
            return found is not None and found.waiting == 1

        first = Started(wait_for_it)
        until(is_in_line)
        with pytest.raises(LockHeld):
            kv.locks.acquire("a", "w2", wait="1200ms")
        assert not first.done
        assert kv.locks.release("a", "w0")
        assert [it.token for it in kv.locks.list()] == [(first.result()).token]


def test_input_is_checked_before_anything_is_sent(kv: Any) -> None:
    for wrong in ("", "a\n", "x" * 257, None, 7):
        with pytest.raises(InvalidInput, match="1 to 256 characters"):
            kv.lock(wrong)
        with pytest.raises(InvalidInput, match="owner must be"):
            kv.locks.acquire("a", wrong)
    with pytest.raises(InvalidInput, match="ttl must be more than 0"):
        kv.lock("a", ttl=0)
    with pytest.raises(InvalidInput, match="duration must be more than 0"):
        kv.locks.acquire("a", "w", duration=0)
    with pytest.raises(InvalidInput, match="token must be"):
        kv.locks.renew("a", "w", "")
    with pytest.raises(InvalidInput, match="prefix must be"):
        kv.locks.list(7)
