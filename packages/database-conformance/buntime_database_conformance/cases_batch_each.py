"""Several batches at once: each alone all or nothing, none disturbing another."""

from __future__ import annotations

import asyncio
from typing import Any

from buntime_database import (
    Adapter,
    Batch,
    ConstraintViolation,
    DatabaseError,
    Guard,
    GuardFailed,
    InvalidStatement,
    Statement,
)

from buntime_database_conformance.dialect import COUNT, INSERT, ids_in, make_items
from buntime_database_conformance.expect import expect, expect_raises
from buntime_database_conformance.suite import Need, OpenAdapter, case


def _insert(number: int, *, bounded: bool) -> Batch:
    return Batch([Statement(INSERT, (number, "x", 0))], bounded)


def _kinds(outcomes: list[list[Any] | DatabaseError]) -> list[str]:
    return [
        "written" if isinstance(outcome, list) else type(outcome).__name__ for outcome in outcomes
    ]


@case()
async def outcomes_are_independent_and_in_order(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for bounded in (False, True):
        await adapter.execute("DELETE FROM items")
        outcomes = await adapter.batch_each(
            [
                _insert(1, bounded=bounded),
                Batch([Statement(INSERT, (2, "x", 0)), Guard("1 = 2")], bounded),
                _insert(1, bounded=bounded),
                Batch([Statement("SELECT nothing FROM items")], bounded),
                _insert(3, bounded=bounded),
            ]
        )
        expect(
            _kinds(outcomes),
            [
                "written",
                GuardFailed.__name__,
                ConstraintViolation.__name__,
                InvalidStatement.__name__,
                "written",
            ],
            f"outcomes, bounded={bounded}",
        )
        failed = outcomes[1]
        expect(failed.index if isinstance(failed, GuardFailed) else None, 1, "index")
        expect(await ids_in(adapter), [1, 3], f"rows, bounded={bounded}")


@case()
async def a_batch_sees_the_batches_before_it(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for bounded in (False, True):
        await adapter.execute("DELETE FROM items")
        first = Batch([Guard(f"({COUNT}) = ?", (0,)), Statement(INSERT, (1, "x", 0))], bounded)
        second = Batch([Guard(f"({COUNT}) = ?", (1,)), Statement(INSERT, (2, "x", 0))], bounded)
        outcomes = await adapter.batch_each([first, first, second])
        expect(_kinds(outcomes), ["written", "GuardFailed", "written"], "outcomes")


@case()
async def three_hundred_batches_at_once(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, *range(0, 300, 50))
    outcomes = await adapter.batch_each([_insert(number, bounded=True) for number in range(300)])
    wanted = ["written" if number % 50 else "ConstraintViolation" for number in range(300)]
    expect(_kinds(outcomes), wanted, "outcomes")
    expect(await ids_in(adapter), list(range(300)), "rows")


@case()
async def callers_at_the_same_time_get_their_own_outcomes(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, *range(0, 200, 10))

    async def call(first: int) -> list[str]:
        batches = [_insert(number, bounded=number % 3 != 0) for number in range(first, first + 10)]
        return _kinds(await adapter.batch_each(batches))

    kinds = await asyncio.gather(*(call(first) for first in range(0, 200, 10)))
    expect(kinds, [["ConstraintViolation", *["written"] * 9]] * 20, "outcomes")
    expect(await ids_in(adapter), list(range(200)), "rows")


@case()
async def a_caller_that_goes_away_does_not_disturb_others(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    tasks = [
        asyncio.create_task(adapter.batch([Statement(INSERT, (number, "x", 0))]))
        for number in range(20)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    for number, result in enumerate(results):
        if number % 2:
            expect(isinstance(result, list), True, f"result of {number}, which stayed")
    present = await ids_in(adapter)
    expect([n for n in present if n % 2], list(range(1, 20, 2)), "rows of those who stayed")


@case()
async def nonsense_from_one_caller_does_not_disturb_others(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    nonsense: list[Any] = ["SELECT 1", None, Statement(5, ()), Statement("SELECT ?", 5)]  # type: ignore[arg-type] # wrong on purpose
    for number, step in enumerate(nonsense):
        outcomes = await asyncio.gather(
            adapter.batch([Statement(INSERT, (2 * number, "x", 0))]),
            adapter.batch([step]),
            adapter.batch([Statement(INSERT, (2 * number + 1, "x", 0))]),
            return_exceptions=True,
        )
        failed = isinstance(outcomes[1], InvalidStatement)
        expect(failed, True, f"InvalidStatement for {step!r}, got {outcomes[1]!r}")
        expect(len(await ids_in(adapter)), 2 * number + 2, f"rows beside {step!r}")


async def _define_deferred(adapter: Adapter) -> None:
    await adapter.execute("CREATE TABLE parents (id BIGINT PRIMARY KEY)")
    await adapter.execute(
        "CREATE TABLE children (id BIGINT PRIMARY KEY, parent BIGINT REFERENCES parents (id)"
        " DEFERRABLE INITIALLY DEFERRED)"
    )


@case(Need.DEFERRED)
async def a_constraint_checked_at_commit_fails_its_own_batch_only(
    open_adapter: OpenAdapter,
) -> None:
    adapter = await open_adapter()
    await _define_deferred(adapter)
    child = "INSERT INTO children VALUES (?, ?)"
    late = [Statement(child, (1, 1)), Statement("INSERT INTO parents VALUES (1)")]
    await adapter.batch(late)
    with expect_raises(ConstraintViolation, "a child without its parent"):
        await adapter.batch([Statement(child, (2, 2))])
    for bounded in (False, True):
        first = 10 if bounded else 20
        outcomes = await adapter.batch_each(
            [
                Batch([Statement(child, (first, 1))], bounded),
                Batch([Statement(child, (first + 1, 99))], bounded),
                Batch([Statement(child, (first + 2, 1))], bounded),
            ]
        )
        expect(
            _kinds(outcomes), ["written", "ConstraintViolation", "written"], f"bounded={bounded}"
        )
    rows = await adapter.query("SELECT id FROM children ORDER BY id")
    expect(rows, [(1,), (10,), (12,), (20,), (22,)], "children")


@case(Need.SQLITE)
async def a_statement_that_rolls_everything_back_fails_alone(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    ruin = [Statement("INSERT OR ROLLBACK INTO items (id) VALUES (1)")]
    with expect_raises(ConstraintViolation, "alone"):
        await adapter.batch(ruin)
    for bounded in (False, True):
        first = 10 if bounded else 20
        outcomes = await adapter.batch_each(
            [
                _insert(first, bounded=bounded),
                Batch(ruin, bounded),
                _insert(first + 1, bounded=bounded),
            ]
        )
        expect(_kinds(outcomes), ["written", "ConstraintViolation", "written"], "outcomes")
    expect(await ids_in(adapter), [1, 10, 11, 20, 21], "rows")
