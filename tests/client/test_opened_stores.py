"""Stores that a program opened: who shares them, what goes on inside of them, and their end."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import (
    AsyncKv,
    CannotOpen,
    ClientClosed,
    GraphEdge,
    OutcomeUnknown,
    ServerFailure,
    TooLarge,
    open_kv,
    open_kv_sync,
)
from support.children import exit_code
from support.database import wait_until
from support.sqld import running_sqld
from support.waiting import until

pytestmark = pytest.mark.slow

UNCLOSED = """
import sys
from buntime_keyval import open_kv_sync
kv = open_kv_sync(sys.argv[1])
kv.set(["a"], 1)
kv.watch(["a"], print)
"""

UNCLOSED_IN_A_LOOP = """
import asyncio, sys
from buntime_keyval import open_kv
async def main():
    await open_kv(sys.argv[1]).set(["b"], 2)
asyncio.run(main())
"""


async def test_a_store_in_memory_lets_others_run() -> None:
    """None of its readings waits for anything, and a walk makes one after the other."""
    async with open_kv(":memory:") as kv:
        await kv.set(["a"], 1)
        turned = asyncio.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        for _ in range(20_000):
            await kv.get(["a"])
            if turned.is_set():
                break
        assert turned.is_set()
        atomic = kv.atomic()
        for number in range(400):
            kv.graph.add_to(atomic, ("n", number), "next", ("n", number + 1))
        await atomic.commit()
        seen: list[GraphEdge] = []

        def look(edge: GraphEdge) -> bool:
            seen.append(edge)
            walking.cancel()
            return True

        walking = asyncio.create_task(kv.graph.shortest_path(("n", 0), ("n", 400), where=look))
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert len(seen) < 400


async def test_who_is_cancelled_as_it_opens_leaves_it_to_the_next_one() -> None:
    async with open_kv(":memory:") as kv:
        for turns in range(3):
            writing = asyncio.create_task(kv.set(["n"], turns))
            for _ in range(turns + 1):
                await asyncio.sleep(0)
            assert writing.cancel()
        assert (await kv.get(["m"])).value is None
        await kv.set(["n"], "last")
        assert (await kv.get(["n"])).value == "last"


async def test_stores_in_memory_have_nothing_in_common() -> None:
    async with open_kv(":memory:") as one, open_kv(":memory:") as other:
        await one.set(["a"], 1)
        assert not await other.has(["a"])


def test_processes_share_a_file(tmp_path: Path) -> None:
    where = str(tmp_path / "app.db")
    program = (
        "import sys; from buntime_keyval import open_kv_sync\n"
        "with open_kv_sync(sys.argv[1]) as kv:\n"
        "    for _ in range(50): kv.atomic().sum(['n'], 1).commit()\n"
    )
    seen: list[Any] = []
    with open_kv_sync(where) as kv:
        kv.set(["n"], 0)
        with kv.watch(["n"], lambda batch: seen.extend(it.value for it in batch)):
            others = [subprocess.Popen([sys.executable, "-c", program, where]) for _ in range(2)]
            for _ in range(50):
                kv.atomic().sum(["n"], 1).commit()
            assert [other.wait(60) for other in others] == [0, 0]
            assert kv.get(["n"]).value == 150
            wait_until(lambda: seen[-1:] == [150])


def test_threads_share_a_store(tmp_path: Path) -> None:
    with open_kv_sync(tmp_path / "app.db") as kv, ThreadPoolExecutor(16) as threads:

        def use(number: int) -> Any:
            kv.set(["n", number], number)
            return kv.get(["n", number]).value

        assert list(threads.map(use, range(200))) == list(range(200))


def test_loops_share_a_file_and_not_what_is_in_memory(tmp_path: Path) -> None:
    kv = open_kv(tmp_path / "app.db")

    async def use(kv: AsyncKv, number: int, *, last: bool = False) -> list[Any]:
        await kv.set(["n", number], number)
        found = [entry.value async for entry in kv.list(["n"])]
        if last:
            await kv.aclose()
        return found

    async def in_two_loops() -> None:
        assert await use(kv, 1) == [1]
        other = asyncio.to_thread(asyncio.run, use(kv, 2))
        assert await other == [1, 2]
        await kv.aclose()

    asyncio.run(in_two_loops())

    async def of_memory() -> None:
        async with open_kv(":memory:") as memory:
            await use(memory, 1)
            with pytest.raises(CannotOpen, match="belongs to the event loop"):
                await asyncio.to_thread(asyncio.run, use(memory, 2))

    asyncio.run(of_memory())


def test_a_program_that_does_not_close_it_ends_all_the_same(tmp_path: Path) -> None:
    where = str(tmp_path / "app.db")
    for text in (UNCLOSED, UNCLOSED_IN_A_LOOP):
        program = [sys.executable, "-c", text, where]
        assert subprocess.run(program, timeout=60, check=False).returncode == 0
    with open_kv_sync(where) as kv:
        assert [kv.get([name]).value for name in "ab"] == [1, 2]


def test_what_a_server_asks_keys_for_is_open_to_whoever_has_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = {"type": "sqlite", "url": "file:app.db"}
    plugins = [["@buntime/plugin-database", {"adapters": [adapter]}], "@buntime/plugin-keyval"]
    (tmp_path / "buntime.jsonc").write_text(json.dumps({"plugins": plugins}))
    command = [sys.executable, "-m", "buntime_host", "keys", "create", "--name", "a"]
    subprocess.run([*command, "--grant", "*"], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with open_kv_sync(tmp_path / "app.db") as kv:
        kv.set(["a"], 1)
        assert kv.get(["a"]).value == 1
        with kv.watch(["a"]) as watch:
            assert [entry.value for entry in next(watch)] == [1]
    assert [*Path().iterdir()] == []


def test_what_is_too_large_is_refused_as_by_a_server(tmp_path: Path) -> None:
    with open_kv_sync(tmp_path / "app.db") as kv:
        builder = kv.atomic()
        for number in range(3):
            builder.set(["a", number], "x" * 5_000_000)
        with pytest.raises(TooLarge):
            builder.commit()
        assert not kv.has(["a", 0])


async def test_what_expires_goes_while_it_is_open(tmp_path: Path) -> None:
    options = {"cleanupInterval": "100ms"}
    seen: list[str] = []
    async with open_kv(tmp_path / "app.db", keyval=options) as kv:
        await kv.set(["a"], 1, expires_in="200ms")
        async with kv.watch(["a"], lambda batch: seen.extend(str(it.value) for it in batch)):
            await until(lambda: seen == ["1", "None"])


def test_it_closes_with_what_runs(tmp_path: Path) -> None:
    kv = open_kv_sync(tmp_path / "app.db")
    watch = kv.watch(["a"], lambda batch: None)
    waiting = ThreadPoolExecutor(1).submit(lambda: next(iter(kv.watch(["b"]))))
    kv.set(["a"], 1)
    kv.close()
    kv.close()
    watch.stop()
    with pytest.raises(ClientClosed, match="make a new one"):
        kv.get(["a"])
    assert isinstance(waiting.exception(20), (ClientClosed, StopIteration))


async def test_who_is_cancelled_has_written_or_not(tmp_path: Path) -> None:
    """The store finishes what was begun, and goes on."""
    async with open_kv(tmp_path / "app.db") as kv:
        await kv.set(["a"], 0)
        for number in range(1, 50):
            writing = asyncio.create_task(kv.set(["a"], number))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
        await kv.set(["b"], 1)
        assert (await kv.get(["a"])).value in range(50)


def test_a_database_server_that_is_away(tmp_path: Path) -> None:
    with (
        running_sqld(tmp_path) as (server,),
        open_kv_sync(f"libsql://127.0.0.1:{server.port}?tls=0") as kv,
    ):
        kv.set(["a"], 1)
        server.kill()
        with pytest.raises((ServerFailure, OutcomeUnknown)):
            kv.set(["a"], 2)
        server.start()
        assert kv.get(["a"]).value in (1, 2)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_is_told_not_to_use_the_file_of_its_parent(tmp_path: Path) -> None:
    """It would take the locks of its parent for its own."""
    with open_kv_sync(tmp_path / "app.db") as kv:
        kv.set(["a"], 1)
        for again in (kv, open_kv_sync(tmp_path / "app.db")):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    again.set(["a"], 2)
                except CannotOpen as error:
                    status = 0 if "before the fork" in str(error) else 2
                finally:
                    os._exit(status)
            assert exit_code(child) == 0
        assert kv.get(["a"]).value == 1
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open_kv_sync(tmp_path / "other.db") as own:
                own.set(["a"], 2)
            status = 0
        finally:
            os._exit(status)
    assert exit_code(child) == 0
