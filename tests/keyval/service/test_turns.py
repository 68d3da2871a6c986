"""Long work leaves room on the event loop: others have their turns meanwhile."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from buntime_host import Size
from buntime_host.http.rest import WORK_SECONDS
from buntime_keyval import BigInt
from buntime_keyval.wire.canonical import canonical_steps
from buntime_keyval.wire.slices import SLICE, Steps
from buntime_plugin_keyval.engine import commit, drafts, turns
from buntime_plugin_keyval.engine.turns import Turns
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.model.limits import Limits
from buntime_plugin_keyval.model.messages import parse_options
from keyval.service.world import World, open_world

pytestmark = pytest.mark.slow


class Heartbeat:
    """Counts the turns of the loop."""

    turns = 0


@asynccontextmanager
async def heartbeat() -> AsyncIterator[Heartbeat]:
    heart = Heartbeat()

    async def beat() -> None:
        while True:
            await asyncio.sleep(0)
            heart.turns += 1

    task = asyncio.create_task(beat())
    await asyncio.sleep(0)
    yield heart
    task.cancel()


async def turns_during(work: Awaitable[Any]) -> int:
    async with heartbeat() as heart:
        await work
        return heart.turns


async def test_there_is_a_turn_for_every_slice() -> None:
    body = b"[" + b"[1.0]," * 100_000 + b"0]"
    number = await turns_during(Turns().run(canonical_steps(body, 0)))
    assert number >= len(body) // SLICE


async def test_pieces_of_long_work_take_turns() -> None:
    order: list[str] = []

    def steps(name: str) -> Steps:
        for _ in range(5):
            order.append(name)
            yield
        return name

    shared = Turns()
    results = await asyncio.gather(shared.run(steps("a")), shared.run(steps("b")))
    assert [*results] == ["a", "b"]
    assert sorted(order[:4]) == ["a", "a", "b", "b"]


async def test_threads_have_their_turns_too(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    pauses: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        if seconds:
            pauses.append(now)
        await sleep(0)

    def steps() -> Steps:
        nonlocal now
        for _ in range(100):
            now += 0.001
            yield

    monkeypatch.setattr(turns, "perf_counter", lambda: now)
    monkeypatch.setattr(asyncio, "sleep", noted)
    shared = Turns()
    await asyncio.gather(shared.run(steps()), shared.run(steps()))
    between = [after - before for before, after in pairwise(pauses)]
    assert len(pauses) in (49, 50)
    assert max(between) == pytest.approx(WORK_SECONDS, rel=0.3)


async def test_long_messages_are_written_beside_the_loop(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    bounded: list[bool] = []
    batch_each = world.adapter.batch_each

    async def noted(batches: Any) -> Any:
        bounded.extend(batch.bounded for batch in batches)
        return await batch_each(batches)

    monkeypatch.setattr(world.adapter, "batch_each", noted)
    queue = world.service.queue
    await queue.enqueue('"x"', parse_options({}))
    await queue.enqueue('"%s"' % ("x" * 100_000), parse_options({}))
    await world.kv.atomic().enqueue("x" * 100_000).commit()
    assert bounded == [True, False, False]
    bounded.clear()
    assert (await queue.take() or await queue.take()) is not None
    assert bounded[0] is False  # it may be a long one, and is written again


async def test_what_steps_raise_reaches_the_caller_and_nobody_else() -> None:
    def failing() -> Steps:
        yield
        raise ValueError("wrong")

    shared = Turns()
    body = b"[" + b"[]," * 50_000 + b"0]"
    results = await asyncio.gather(
        shared.run(failing()), shared.run(canonical_steps(body, 0)), return_exceptions=True
    )
    assert isinstance(results[0], ValueError)
    assert str(results[1]).startswith("[[],[]")


async def test_large_commits_are_decided_beside_the_loop(kv: LocalKv) -> None:
    builder = kv.atomic()
    for number in range(5_000):
        builder.check((("c", number), None)).sum(("n", number % 100), BigInt(10**3000))
    assert await turns_during(builder.commit()) > 20
    assert (await kv.get(("n", 1))).value == BigInt(50 * 10**3000)


async def test_what_extends_a_long_value_is_decided_beside_the_loop(
    kv: LocalKv, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    effect = drafts.Draft.effect

    def noted(draft: drafts.Draft) -> Any:
        threads.append(threading.current_thread() is threading.main_thread())
        return effect(draft)

    monkeypatch.setattr(drafts.Draft, "effect", noted)
    for name, value in (("short", ["x"]), ("long", ["x" * 100_000])):
        await kv.set((name,), value)
        await kv.atomic().prepend((name,), [1]).append((name,), [2, 3]).commit()
        assert (await kv.get((name,))).value == [1, *value, 2, 3]
    assert threads == [True, False]


async def test_large_values_of_python_commits_are_read_in_slices(kv: LocalKv) -> None:
    value = [[1.0]] * 100_000 + [{"$now": True}]  # others are canonical as they come
    assert await turns_during(kv.atomic().set(("a",), value).commit()) > 10
    found = (await kv.get(("a",))).value
    assert isinstance(found, list)
    assert found[:-1] == [[1]] * 100_000


async def test_long_values_are_read_by_a_few_commits_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit, "MAX_GROUP_BYTES", 500_000)
    names = range(12)
    for name in names:
        await world.kv.set(("long", name), ["x" * 200_000])
    sizes: list[int] = []
    batch_each = world.adapter.batch_each

    async def noted(batches: Any) -> Any:
        sizes.append(len(batches))
        return await batch_each(batches)

    monkeypatch.setattr(world.adapter, "batch_each", noted)
    await asyncio.gather(
        *(world.kv.atomic().append(("long", name), [name]).commit() for name in names),
        *(world.kv.atomic().sum(("short", name), 1).commit() for name in names),
    )
    assert max(sizes) <= 2 + len(names)
    assert len(sizes) >= len(names) // 2
    for name in names:
        assert (await world.kv.get(("long", name))).value == ["x" * 200_000, name]
        assert (await world.kv.get(("short", name))).value == 1


async def test_one_commit_reads_and_writes_so_much(tmp_path: Path) -> None:
    limits = Limits(commit_bytes=Size(300_000))
    async with open_world(tmp_path / "kv.db", limits=limits) as world:
        kv = world.kv
        for name in "ab":
            await kv.set((name,), ["x" * 200_000])
        await kv.atomic().append(("a",), [1]).commit()
        with pytest.raises(LimitExceeded, match=r"Values to read too large: 4000\d\d bytes"):
            await kv.atomic().append(("a",), [1]).append(("b",), [1]).commit()
        with pytest.raises(LimitExceeded, match="Values to write too large: 399999 bytes"):
            await kv.atomic().append(("a",), ["x" * 199_990]).commit()
        with pytest.raises(LimitExceeded, match="Values to write too large"):
            await kv.atomic().set(("c",), "x" * 200_000).set(("d",), "x" * 200_000).commit()
        await kv.set(("e",), "x" * 400_000)  # one value has a limit of its own
        await kv.atomic().check((("e",), (await kv.get(("e",))).versionstamp)).commit()


async def test_checks_read_no_values(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    await world.kv.set(("a",), "x" * 100_000)
    entry = await world.kv.get(("a",))
    asked: list[str] = []
    query = world.adapter.query

    def noted(sql: str, *args: Any, **options: Any) -> Any:
        asked.append(sql)
        return query(sql, *args, **options)

    monkeypatch.setattr(world.adapter, "query", noted)
    assert (await world.kv.atomic().check(entry).set(("b",), 1).commit()).ok
    assert not any("value" in sql for sql in asked)
    assert not (await world.kv.atomic().check((("a",), None)).set(("b",), 2).commit()).ok
