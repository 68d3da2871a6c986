"""Stores in this process that nobody has closed."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import open_kv, open_kv_sync
from support.database import wait_until
from support.waiting import until

UNCLOSED_STORE = r"unclosed store file:/.*app\.db: open it in a with"


async def collected(work: Coroutine[Any, Any, None]) -> None:
    """Await something, and find its garbage."""
    await work
    gc.collect()


def test_one_that_is_dropped_warns_and_is_closed(tmp_path: Path) -> None:
    def use() -> None:
        kv = open_kv_sync(tmp_path / "app.db")
        kv.set(["a"], 1)
        del kv
        gc.collect()

    def threads() -> int:
        return sum(thread.name == "buntime-keyval" for thread in threading.enumerate())

    before = threads()
    with pytest.warns(ResourceWarning, match=UNCLOSED_STORE):
        use()
    wait_until(lambda: threads() == before)
    open_kv_sync(tmp_path / "unused.db")  # nothing is open that nobody has used
    with open_kv_sync(tmp_path / "app.db") as kv:
        assert kv.get(["a"]).value == 1
    del kv
    gc.collect()


async def test_one_of_a_loop_that_is_dropped_warns_and_is_closed(tmp_path: Path) -> None:
    async def use() -> None:
        kv = open_kv(tmp_path / "app.db")
        await kv.set(["a"], 1)

    before = asyncio.all_tasks()
    with pytest.warns(ResourceWarning, match=UNCLOSED_STORE):
        await collected(use())
    await until(lambda: not asyncio.all_tasks() - before)
    async with open_kv(tmp_path / "app.db") as kv:
        assert (await kv.get(["a"])).value == 1
