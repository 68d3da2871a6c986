"""The answer of a commit is lost: the caller gets it all the same, and nothing happens twice."""

from __future__ import annotations

import asyncio

from buntime_database import Batch, Guard, OutcomeUnknown, Statement

from buntime_database_conformance.dialect import COUNT, INSERT, ids_in, make_items
from buntime_database_conformance.expect import expect
from buntime_database_conformance.suite import Need, OpenAdapter, case

ADD = "UPDATE items SET n = n + 1 WHERE id = ?"
TOTAL = "SELECT sum(n) FROM items"


@case(Need.LOST_ANSWERS)
async def a_write_whose_answer_is_lost_happens_once(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1, 2, 3)
    ((before,),) = await adapter.query(TOTAL, fresh=True)
    for _ in range(3):
        (result,) = await adapter.batch([Statement(ADD, (1,))])
        expect(result.rowcount, 1, "rows changed")
    (result,) = await adapter.batch([Statement("UPDATE items SET n = n + 1")])
    expect(result.rowcount, 3, "rows changed")
    ((after,),) = await adapter.query(TOTAL, fresh=True)
    expect(int(after or 0) - int(before or 0), 6, "times that something was added")


@case(Need.LOST_ANSWERS)
async def writers_at_the_same_time_get_their_own_outcomes(open_adapter: OpenAdapter) -> None:
    adapters = [await open_adapter(), await open_adapter()]
    await make_items(adapters[0], *range(0, 60, 10))

    async def insert(number: int) -> str:
        steps: list[Statement | Guard] = [
            Guard("? % 7 <> 0", (number,)),
            Statement(INSERT, (number, "x", 0)),
        ]
        (outcome,) = await adapters[number % 2].batch_each([Batch(steps, bounded=True)])
        return "written" if isinstance(outcome, list) else type(outcome).__name__

    kinds = await asyncio.gather(*map(insert, range(60)))
    wanted = [
        "GuardFailed" if n % 7 == 0 else "written" if n % 10 else "ConstraintViolation"
        for n in range(60)
    ]
    expect(kinds, wanted, "outcomes")
    present = [n for n in range(60) if n % 10 == 0 or n % 7]
    expect(await ids_in(adapters[0]), present, "rows")


@case(Need.LOST_ANSWERS)
async def a_guard_sees_what_was_written_before_it(open_adapter: OpenAdapter) -> None:
    """As in an optimistic loop: a repetition would fail its own guard."""
    adapter = await open_adapter()
    await make_items(adapter)
    for number in range(5):
        await adapter.batch(
            [Guard(f"({COUNT}) = ?", (number,)), Statement(INSERT, (number, "x", 0))]
        )
    expect(await ids_in(adapter), list(range(5)), "rows")


@case(Need.LOST_ANSWERS, Need.RETURNING)
async def rows_that_cannot_be_told_again_are_an_unknown_outcome(open_adapter: OpenAdapter) -> None:
    """An engine that has them before it commits can tell them."""
    adapter = await open_adapter()
    await make_items(adapter, 1)
    try:
        told = await adapter.execute("UPDATE items SET n = 77 WHERE id = 1 RETURNING n")
    except OutcomeUnknown:
        pass
    else:
        expect(told, [{"n": 77}], "rows of a lost answer")
    rows = await adapter.query("SELECT n FROM items", fresh=True)
    expect(rows, [(77,)], "what was written")
    # Results are not needed here.
    update = Statement("UPDATE items SET n = 78 WHERE id = 1 RETURNING n")
    (outcome,) = await adapter.batch_each([Batch([update], wanted=())])
    expect(type(outcome), list, "outcome without a wanted result")


@case(Need.LOST_ANSWERS, Need.SQLITE)
async def rows_are_told_again_by_what_recalls_them(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    update = Statement("UPDATE items SET n = n + 70 WHERE id = 1 RETURNING id, n")
    recall = "(SELECT json_group_array(json_object('id', id, 'n', n)) FROM items WHERE id = 1)"
    (outcome,) = await adapter.batch_each([Batch([update], wanted=(0,), recalls={0: recall})])
    rows = await adapter.query("SELECT id, n FROM items WHERE id = 1", fresh=True)
    expect(outcome[0].rows if isinstance(outcome, list) else outcome, rows, "rows")


@case(Need.LOST_ANSWERS, Need.SQLITE)
async def counts_that_a_batch_itself_asks_for_are_left_alone(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1, 2, 3)
    steps: list[Statement | Guard] = [
        Guard("1 = 1"),
        Statement("UPDATE items SET n = 5 WHERE id > 1"),
        Statement("UPDATE items SET n = changes() WHERE id = 1"),
        Guard("changes() = 1"),
    ]
    (outcome,) = await adapter.batch_each([Batch(steps, wanted=())])
    expect(type(outcome), list, "outcome")
    rows = await adapter.query("SELECT n FROM items ORDER BY id", fresh=True)
    expect(rows, [(2,), (5,), (5,)], "rows")
