"""Rows that Python checks again hold up nobody else, however many there are."""

from __future__ import annotations

import asyncio
import threading
import time

from buntime_plugin_keyval.storage.postfilter import INLINE_CHARS, INLINE_WORK, SLICE_SECONDS, kept
from buntime_plugin_keyval.storage.selection import RowCondition

ROWS = 50


async def test_others_run_between_slices() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    def takes_a_slice(value: str) -> bool:
        until = time.perf_counter() + SLICE_SECONDS
        while time.perf_counter() < until:
            pass
        return value != "3"

    task = asyncio.create_task(other())
    rows = [(b"key", str(number)) for number in range(ROWS)]
    found = [row async for row in kept(rows, RowCondition(recheck=takes_a_slice), value=1)]
    task.cancel()
    assert found == [row for row in rows if row[1] != "3"]
    assert turns >= ROWS - 1


async def test_what_takes_longer_than_a_slice_is_checked_in_a_thread() -> None:
    here: dict[str, bool] = {}

    def recheck(value: str) -> bool:
        here[value[0]] = threading.current_thread() is threading.main_thread()
        return True

    args = ("needle",) * 1_000
    values = ["a" * 100, "b" * (INLINE_CHARS + 1), "c" * (INLINE_WORK // len(args))]
    found = [
        row async for row in kept([(v,) for v in values], RowCondition("1", args, recheck), value=0)
    ]
    assert [value for (value,) in found] == values
    assert here == {"a": True, "b": False, "c": False}


async def test_what_sql_decides_is_not_checked() -> None:
    rows = [(1,), (2,)]
    assert [row async for row in kept(rows, RowCondition(), value=0)] == rows
