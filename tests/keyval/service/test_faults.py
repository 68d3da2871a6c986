"""One statement of a commit fails, whichever: every write is all there or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

import apsw
import pytest
from buntime_database import DatabaseError, DatabaseFull, DatabaseUnavailable
from buntime_keyval import CommitResult
from buntime_keyval.wire import decode_key
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.faces.local.triggers import TriggerEvent
from keyval.service.world import World, open_world, values

pytestmark = pytest.mark.slow

FAULTS = [None, apsw.IOError, apsw.FullError, apsw.BusyError]
"""None stops the statement as an interrupt does, the others are what the disk or a lock says."""
MOST_STATEMENTS = 200


class Fault:
    """Makes the n-th statement from now on fail, once."""

    def __init__(self, world: World, position: int, error: type[apsw.Error] | None) -> None:
        self.statement: str | None = None
        self._left = position
        self._error = error
        world.adapter.get_raw_client().exec_trace = self._trace

    def _trace(self, cursor: apsw.Cursor, sql: str, bindings: object) -> bool:
        self._left -= 1
        if self._left:
            return True
        self.statement = sql
        if self._error is None:
            return False
        raise self._error("injected")


async def answers(*writes: Awaitable[CommitResult]) -> list[bool | None]:
    """True for a success, False for a check that did not hold, None for an error."""
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    told: list[bool | None] = []
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            assert isinstance(outcome, DatabaseUnavailable), repr(outcome)
            told.append(None)
        else:
            told.append(outcome.ok)
    return told


async def prepare(kv: LocalKv) -> None:
    await kv.atomic().set(("sum",), 1000).set(("list",), [0]).set(("gone",), 1).commit()


async def group(kv: LocalKv) -> list[bool | None]:
    """Writes that share a commit: alone, building on each other, and in each other's way."""
    return await answers(
        kv.set(("first",), 1),
        kv.atomic().sum(("sum",), 1).append(("list",), [1]).commit(),
        kv.atomic().sum(("sum",), 10).append(("list",), [2]).commit(),
        kv.atomic().check((("new", 1), None)).set(("new", 1), "a").set(("new", 2), "a").commit(),
        kv.atomic().check((("new", 1), None)).set(("new", 1), "b").set(("new", 2), "b").commit(),
        kv.atomic().delete(("gone",)).set(("here",), 1).sum(("sum",), 100).commit(),
        kv.set(("last",), 1),
    )


def expected(told: list[bool | None]) -> dict[Any, Any]:
    """What must be there after these answers, and nothing else."""
    first, one, two, a, b, moved, last = told
    there: dict[Any, Any] = {
        ("list",): [0, *[1] * bool(one), *[2] * bool(two)],
        ("sum",): 1000 + bool(one) + 10 * bool(two) + 100 * bool(moved),
        ("here",) if moved else ("gone",): 1,
    }
    there |= {("first",): 1} if first else {}
    there |= {("last",): 1} if last else {}
    assert not (a and b)
    if a or b:
        there |= {("new", 1): "a" if a else "b", ("new", 2): "a" if a else "b"}
    # Who was told that the key exists was told the truth.
    assert a is not False
    assert b is not False or a
    return there


async def logged(world: World) -> list[str]:
    """How often the log names each key, except for what was prepared."""
    changes = await world.kv.changes(after=3)
    return sorted(f"{change.operation} {decode_key(change.key)[0]!s}" for change in changes)


def expected_log(told: list[bool | None]) -> list[str]:
    keys = ["first", "sum list", "sum list", "new new", "new new", "gone here sum", "last"]
    names = [name for ok, names in zip(told, keys, strict=True) if ok for name in names.split()]
    return sorted(f"{'delete' if name == 'gone' else 'set'} {name}" for name in names)


@pytest.mark.parametrize("error", FAULTS, ids=["stop", "io", "full", "busy"])
async def test_in_a_group(tmp_path: Path, error: type[apsw.Error] | None) -> None:
    for position in range(1, MOST_STATEMENTS):
        path = tmp_path / f"{position}.db"
        async with open_world(path) as world:
            await prepare(world.kv)
            fault = Fault(world, position, error)
            told = await group(world.kv)
            there = expected(told)
            if fault.statement is None:
                assert told == [True, True, True, True, False, True, True]
                break
            assert await values(world.kv) == there, fault.statement
            assert await logged(world) == expected_log(told), fault.statement
            if not fault.statement.startswith("BEGIN"):
                assert told.count(None) <= 1, "the others commit unharmed"
            assert (await world.kv.set(("first",), "again")).ok, "the database works again"
        async with open_world(path) as world:
            assert await values(world.kv) == there | {("first",): "again"}
    assert 30 < position < MOST_STATEMENTS - 1, "every statement had its turn"


@pytest.mark.parametrize("error", FAULTS, ids=["stop", "io", "full", "busy"])
async def test_in_a_single_write(tmp_path: Path, error: type[apsw.Error] | None) -> None:
    for position in range(1, MOST_STATEMENTS):
        path = tmp_path / f"{position}.db"
        async with open_world(path) as world:
            await prepare(world.kv)
            before = await values(world.kv)
            fault = Fault(world, position, error)
            atomic = world.kv.atomic().sum(("sum",), 1).delete(("gone",)).append(("list",), [1])
            (ok,) = await answers(atomic.set(("here",), 1).commit())
            after = {("here",): 1, ("list",): [0, 1], ("sum",): 1001}
            assert await values(world.kv) == (after if ok else before)
            assert len(await world.kv.changes(after=3)) == (4 if ok else 0)
            if fault.statement is None:
                break
            # What also deletes is tried again in the room that was made for it.
            assert not ok or error in (apsw.BusyError, apsw.FullError)
        async with open_world(path) as world:
            assert await values(world.kv) == (after if ok else before)
    assert 11 < position < MOST_STATEMENTS - 1


async def test_in_a_prefix_delete(tmp_path: Path) -> None:
    for position in range(1, MOST_STATEMENTS):
        async with open_world(tmp_path / f"{position}.db") as world:
            await prepare(world.kv)
            fault = Fault(world, position, None)
            try:
                result = await world.kv.delete([("sum",), ("list",), ("none",)])
            except DatabaseUnavailable:
                assert await world.kv.count() == 3
                assert len(await world.kv.changes()) == 3
            else:
                assert result.deleted_count == 2
                break
            assert fault.statement is not None
            assert (await world.kv.delete([], everything=True)).deleted_count == 3
    assert 6 < position < MOST_STATEMENTS - 1


async def test_a_failed_expiry_is_done_again(tmp_path: Path) -> None:
    for position in range(1, MOST_STATEMENTS):
        async with open_world(tmp_path / f"{position}.db") as world:
            for number in range(3):
                await world.kv.set(("t", number), 1, expires_in="1ms")
            world.clock.advance(1)
            Fault(world, position, None)
            try:
                assert await world.store.expire(10) == 3
                break
            except DatabaseError:
                assert await world.stored() == 3
            assert await world.store.expire(10) == 3
            assert len(await world.kv.changes()) == 6
    assert 3 < position < MOST_STATEMENTS - 1


async def test_a_trigger_hears_only_of_what_was_committed(tmp_path: Path) -> None:
    for position in range(1, 12):
        async with open_world(tmp_path / f"{position}.db") as world:
            heard: list[TriggerEvent] = []
            world.kv.add_trigger(handler=heard.append)
            Fault(world, position, None)
            told = await answers(world.kv.set(("a",), 1), world.kv.set(("b",), 1))
            names = zip(told, ("a", "b"), strict=True)
            assert sorted(event.key for event in heard) == [(name,) for ok, name in names if ok]


async def test_a_full_disk(tmp_path: Path) -> None:
    async with open_world(tmp_path / "kv.db") as world:
        kv, connection = world.kv, world.adapter.get_raw_client()
        await kv.set(("first",), 1)
        pages = connection.pragma("page_count")
        connection.pragma("max_page_count", pages + 10)

        def pair(number: int) -> Awaitable[CommitResult]:
            text = "x" * 3000
            return kv.atomic().set(("p", number, 1), text).set(("p", number, 2), text).commit()

        outcomes = await asyncio.gather(*map(pair, range(20)), return_exceptions=True)
        refused = [o for o in outcomes if isinstance(o, BaseException)]
        assert refused
        assert all(isinstance(error, DatabaseFull) for error in refused)
        with pytest.raises(DatabaseFull):
            await pair(99)
        there = [("p", n, half) for n in range(20) for half in (1, 2) if outcomes[n] not in refused]
        assert list(await values(kv, "p")) == there
        assert (await kv.get(("first",))).value == 1
        connection.pragma("max_page_count", pages + 1000)
        assert all(result.ok for result in await asyncio.gather(*map(pair, range(20))))
        assert await kv.count(("p",)) == 40
        assert connection.pragma("integrity_check") == "ok"
