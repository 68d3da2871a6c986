"""Every mutation on every kind of current value, with and without an expiry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv
from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.model.limits import Limits
from keyval.service.world import FakeClock, World, exact, open_world, values

pytestmark = pytest.mark.engines("sqlite", "odd", "libsql-replica")

KEY = ("k", 1)
SAFE = 2**53 - 1
MISSING = object()
REFUSED = object()
HUGE = 10**4999 + 7  # 5,000 digits, more than Python turns into text by itself
OLD, NEW = 50, 20
ALIVE = {None: (True, True), OLD: (True, False), NEW: (False, False)}
"""Whether the entry is there at NEW and at OLD milliseconds, for the life that it has."""

# type, operand, what is there, what is there afterwards
CASES: list[tuple[str, Any, Any, Any]] = [
    ("set", 7, MISSING, 7),
    ("set", None, 5, None),
    ("set", {"a": [1, True]}, "text", {"a": [1, True]}),
    ("sum", 7, MISSING, 7),
    ("sum", 7, None, 7),
    ("sum", 7, 5, 12),
    ("sum", -7, 5, -2),
    ("sum", 5, 1.5, 6.5),
    ("sum", 1, 0.5, 1.5),
    ("sum", 1, SAFE - 1, SAFE),
    ("sum", 1, SAFE, BigInt(SAFE + 1)),
    ("sum", -1, -SAFE, BigInt(-SAFE - 1)),
    ("sum", -1, BigInt(SAFE + 1), BigInt(SAFE)),  # a bigint stays one
    ("sum", 1, BigInt(4), BigInt(5)),
    ("sum", BigInt(1), 4, 5),
    ("sum", HUGE, MISSING, BigInt(HUGE)),
    ("sum", HUGE, HUGE, BigInt(2 * HUGE)),
    ("sum", -HUGE, HUGE + 3, BigInt(3)),
    ("sum", "12", 1, 13),
    ("sum", " 0x10 ", 1, 17),
    ("sum", "", 1, 1),
    ("sum", 1, True, REFUSED),
    ("sum", 1, "7", REFUSED),
    ("sum", 1, [], REFUSED),
    ("sum", 1, {"__type": "other"}, REFUSED),
    ("max", 7, MISSING, 7),
    ("max", 7, None, 7),
    ("max", 7, 5, 7),
    ("max", 5, 7, 7),
    ("max", 2, 1.5, 2),
    ("max", 1, 1.5, 1.5),
    ("max", -9, BigInt(4), BigInt(4)),
    ("max", 9, BigInt(4), BigInt(9)),
    ("max", HUGE, 1.5, BigInt(HUGE)),
    ("max", 1, "7", REFUSED),
    ("max", 1, False, REFUSED),
    ("min", 7, MISSING, 7),
    ("min", 7, None, 7),
    ("min", 7, 5, 5),
    ("min", 5, 7, 5),
    ("min", -HUGE, 1, BigInt(-HUGE)),
    ("min", 9, BigInt(4), BigInt(4)),
    ("min", 1, {}, REFUSED),
    ("append", [1], MISSING, [1]),
    ("append", [], MISSING, []),
    ("append", [1], None, [1]),
    ("append", [3, 4], [1, 2], [1, 2, 3, 4]),
    ("append", [], [1], [1]),
    ("append", [1], [], [1]),
    ("append", [True, None, {"a": [False]}, "x"], [1.5], [1.5, True, None, {"a": [False]}, "x"]),
    ("append", [BigInt(1), b"\0"], [BigInt(2**70)], [BigInt(2**70), BigInt(1), b"\0"]),
    ("append", [1], 5, REFUSED),
    ("append", [1], {"a": 1}, REFUSED),
    ("append", [1], "[1]", REFUSED),
    ("append", [1], BigInt(5), REFUSED),
    ("prepend", [1], MISSING, [1]),
    ("prepend", [1], None, [1]),
    ("prepend", [3, 4], [1, 2], [3, 4, 1, 2]),
    ("prepend", [], [1], [1]),
    ("prepend", [1], False, REFUSED),
]


IDS = [f"{case[0]}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("before", ["for ever", "expiring", "expired"])
@pytest.mark.parametrize(("type", "operand", "current", "expected"), CASES, ids=IDS)
async def test_the_value_and_the_life_that_are_left(
    world: World, type: str, operand: Any, current: Any, expected: Any, before: str
) -> None:
    kv, clock = world.kv, world.clock
    if current is not MISSING:
        await kv.set(KEY, current, expires_in=None if before == "for ever" else f"{OLD}ms")
    if before == "expired":  # the row is there, and must count as nothing
        clock.advance(OLD)
        expected = operand if type in ("set", "append", "prepend") else _as_number(operand)
    builder = getattr(kv.atomic().set(("witness",), 1), type)(KEY, operand)
    if expected is REFUSED:
        with pytest.raises(InvalidInput, match=rf'^{type} requires .* at key \["k",1\], found'):
            await builder.commit()
        assert await values(kv) == {KEY: current}
        assert exact((await kv.get(KEY)).value) == exact(current)
        return
    result = await builder.commit()
    entry = await kv.get(KEY)
    assert exact(entry.value) == exact(expected)
    assert entry.versionstamp == result.versionstamp
    kept = type != "set" and current is not MISSING and before == "expiring"
    assert await _life(kv, clock) == ALIVE[OLD if kept else None]


@pytest.mark.parametrize("type", ["set", "sum", "max", "min", "append", "prepend"])
@pytest.mark.parametrize("before", [None, OLD])
async def test_a_life_of_its_own_replaces_that_of_the_key(
    kv: LocalKv, clock: FakeClock, type: str, before: int | None
) -> None:
    operand: Any = [1] if "pend" in type else 1
    await kv.set(KEY, operand, expires_in=before and f"{before}ms")
    await getattr(kv.atomic(), type)(KEY, operand, expires_in=f"{NEW}ms").commit()
    assert await _life(kv, clock) == ALIVE[NEW]


@pytest.mark.parametrize("before", [None, OLD])
async def test_delete_removes_exactly_one_key(kv: LocalKv, before: int | None) -> None:
    for key in (KEY, (*KEY, "child"), ("k",)):
        await kv.set(key, 1, expires_in=before and f"{before}ms")
    assert (await kv.atomic().delete(KEY).delete(("none",)).commit()).ok
    assert list(await values(kv)) == [("k",), (*KEY, "child")]


async def test_mutations_see_those_before_them(kv: LocalKv) -> None:
    atomic = kv.atomic().set(KEY, 5).sum(KEY, 3).max(KEY, 20).min(KEY, 12).sum(KEY, BigInt(SAFE))
    await atomic.commit()
    assert exact((await kv.get(KEY)).value) == exact(BigInt(SAFE + 12))


async def test_the_last_set_wins(kv: LocalKv) -> None:
    await kv.atomic().set(KEY, 1).set(KEY, 2).commit()
    assert await values(kv) == {KEY: 2}
    assert len(await kv.changes()) == 1


async def test_set_after_delete_and_delete_after_set(kv: LocalKv) -> None:
    await kv.set(KEY, [1], expires_in=f"{OLD}ms")
    await kv.atomic().delete(KEY).append(KEY, [2]).commit()
    assert (await kv.get(KEY)).value == [2]
    await kv.atomic().append(KEY, [3]).delete(KEY).commit()
    assert await values(kv) == {}
    await kv.atomic().set(KEY, 1).delete(KEY).sum(KEY, 4).commit()
    assert await values(kv) == {KEY: 4}


async def test_the_life_goes_along_with_the_mutations(kv: LocalKv, clock: FakeClock) -> None:
    await kv.set(KEY, [1], expires_in=f"{OLD}ms")
    await kv.atomic().delete(KEY).append(KEY, [2]).commit()
    assert await _life(kv, clock) == ALIVE[None], "a deleted key's life is over"
    await kv.atomic().set(KEY, 1, expires_in=f"{OLD}ms").sum(KEY, 1).commit()
    assert await _life(kv, clock) == ALIVE[OLD]
    await kv.atomic().set(KEY, 1, expires_in=f"{OLD}ms").set(KEY, 1).commit()
    assert await _life(kv, clock) == ALIVE[None]


async def test_one_refused_mutation_undoes_those_before_it(kv: LocalKv) -> None:
    await kv.set(("text",), "x")
    with pytest.raises(InvalidInput, match="sum requires a numeric value"):
        await (
            kv.atomic().set(KEY, 1).delete(("text",)).set(("text",), "y").sum(("text",), 1).commit()
        )
    assert await values(kv) == {("text",): "x"}


async def test_a_float_that_grows_beyond_the_doubles_is_refused(kv: LocalKv) -> None:
    await kv.set(KEY, 1.5)
    with pytest.raises(InvalidInput, match="exceeds the range of a number"):
        await kv.atomic().sum(KEY, 10**400).commit()
    assert (await kv.get(KEY)).value == 1.5


async def test_many_sums_stay_exact(kv: LocalKv) -> None:
    total = 0
    for power in range(0, 400, 7):
        total += 3**power
        await kv.atomic().sum(KEY, 3**power).commit()
    assert exact((await kv.get(KEY)).value) == exact(BigInt(total))


@pytest.mark.slow
@pytest.mark.engines("sqlite")
async def test_more_keys_than_a_statement_has_variables(tmp_path: Path) -> None:
    number = 40_000
    limits = Limits(mutations=number + 1)
    async with open_world(tmp_path / "kv.db", limits=limits) as world:
        kv = world.kv
        builder = kv.atomic().sum(("n", 0), 1)
        for index in range(number):
            builder.sum(("n", index), 1)
        assert (await builder.commit()).ok
        assert await kv.count(("n",)) == number
        assert [e.value async for e in kv.list(("n",), limit=2)] == [2, 1]
        with pytest.raises(LimitExceeded, match=r"Too many mutations and checks: 40002"):
            await builder.sum(("n", 0), 1).commit()


def _as_number(operand: Any) -> Any:
    number = {" 0x10 ": 16, "": 0}.get(operand) if isinstance(operand, str) else None
    number = int(operand) if number is None else number
    return BigInt(number) if abs(number) > SAFE else number


async def _life(kv: LocalKv, clock: FakeClock) -> tuple[bool, bool]:
    """Whether the entry is still there at NEW and at OLD milliseconds."""
    before = clock()
    there = []
    for milliseconds in (NEW, OLD):
        clock.now_ms = before + milliseconds
        there.append((await kv.get(KEY)).exists)
    clock.now_ms = before
    return there[0], there[1]
