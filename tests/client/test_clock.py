"""Stores in this process whose time a caller tells."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import InvalidInput, open_kv, open_kv_sync

NOON = 1_800_000_000.0
HOUR = 3600.0
WHERE = (":memory:", "app.db")


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = NOON

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.chdir(tmp_path)
    return Clock()


@pytest.mark.parametrize("where", WHERE)
async def test_entries_live_by_the_clock_to_the_millisecond(where: str, clock: Clock) -> None:
    async with open_kv(where, clock=clock) as kv:
        await kv.set(["a"], {"at": kv.now()}, expires_in="1h")
        await kv.set(["b"], 1, expires_at=NOON * 1000 + 1)
        clock.seconds = NOON + 0.001
        assert not await kv.has(["b"])
        clock.seconds = NOON + HOUR - 0.001
        assert (await kv.get(["a"])).value == {"at": NOON * 1000}
        assert [entry.key async for entry in kv.list()] == [("a",)]
        clock.seconds = NOON + HOUR
        assert not (await kv.get(["a"])).exists
        assert await kv.count() == 0


@pytest.mark.parametrize("where", WHERE)
def test_the_same_without_async(where: str, clock: Clock) -> None:
    with open_kv_sync(where, clock=clock) as kv:
        stamp = kv.set(["a"], 1, expires_in="1h").versionstamp
        assert stamp is not None
        assert int(stamp[:8] + stamp[9:13], 16) == NOON * 1000
        kv.touch(["a"], expires_in="2h")
        clock.seconds += HOUR
        assert kv.get(["a"]).value == 1
        clock.seconds += HOUR
        assert not kv.has(["a"])


async def test_messages_and_locks_wait_by_the_clock(clock: Clock) -> None:
    async with open_kv(":memory:", clock=clock) as kv:
        await kv.enqueue("later", delay="1d")
        held = await kv.locks.acquire("report", owner="ada", duration="1h")
        assert await kv.dequeue() is None
        clock.seconds += 24 * HOUR
        message = await kv.dequeue()
        assert message is not None
        assert message.value == "later"
        taken = await kv.locks.acquire("report", owner="grace", duration="1h")
        assert taken.token > held.token


async def test_a_file_of_a_later_time_goes_on_from_there(clock: Clock) -> None:
    clock.seconds = NOON + HOUR
    async with open_kv("app.db", clock=clock) as kv:
        first = await kv.set(["a"], 1)
    clock.seconds = NOON
    async with open_kv("app.db", clock=clock) as kv:
        second = await kv.set(["a"], 2)
        assert str(second.versionstamp) > str(first.versionstamp)
        await kv.set(["b"], 1, expires_in="1m")
        clock.seconds += 60
        assert not await kv.has(["b"])


@pytest.mark.parametrize("open_any", [open_kv, open_kv_sync])
def test_what_is_no_clock_is_refused(open_any: Any) -> None:
    with pytest.raises(InvalidInput, match="function that returns epoch seconds"):
        open_any(":memory:", clock=time.time())
    with pytest.raises(InvalidInput, match="a server has its own clock"):
        open_any("http://127.0.0.1:1", clock=time.time)
