"""Batches: all or nothing, guards, results of each step."""

from __future__ import annotations

from buntime_database import (
    Batch,
    ConstraintViolation,
    Guard,
    GuardFailed,
    InvalidStatement,
    ResultSet,
    Statement,
    Value,
)

from buntime_database_conformance.dialect import COUNT, INSERT, ids_in, make_items
from buntime_database_conformance.expect import expect, expect_raises
from buntime_database_conformance.suite import Need, OpenAdapter, case

N_IS = "(SELECT n FROM items WHERE id = ?) = ?"


@case()
async def a_batch_gives_one_result_for_each_step(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    results = await adapter.batch(
        [
            Statement(INSERT, (2, "b", 20)),
            Guard(N_IS, (2, 20)),
            Statement("UPDATE items SET n = n + 1"),
            Statement("DELETE FROM items WHERE id = 9"),
        ]
    )
    expect([result.rowcount for result in results], [1, 0, 2, 0], "counts")
    expect(results[1], ResultSet((), [], 0), "result of the guard")


@case(Need.ROWS_OF_BATCHES)
async def a_query_in_a_batch_sees_the_steps_before_it(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    results = await adapter.batch(
        [
            Statement(INSERT, (2, "b", 20)),
            Statement("UPDATE items SET n = n + 1"),
            Statement("SELECT id, n FROM items ORDER BY id"),
            Statement("DELETE FROM items"),
        ]
    )
    expect([result.rowcount for result in results], [1, 2, 0, 2], "counts")
    expect(results[2].columns, ("id", "n"), "columns of the query")
    expect(results[2].rows, [(1, 11), (2, 21)], "rows of the query")


@case(Need.NO_ROWS_OF_BATCHES)
async def what_would_give_rows_is_refused(open_adapter: OpenAdapter) -> None:
    """Before anything is sent: to give none where some are expected would be a wrong answer."""
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for sql in ("SELECT id FROM items", "UPDATE items SET n = 5 RETURNING n"):
        with expect_raises(InvalidStatement, sql):
            await adapter.batch([Statement(INSERT, (2, "b", 20)), Statement(sql)])
    with expect_raises(InvalidStatement, "execute"):
        await adapter.execute("DELETE FROM items RETURNING n")
    expect(await adapter.query("SELECT id, n FROM items"), [(1, 10)], "rows")
    # A step whose result is not wanted is run, too.
    update = Statement("UPDATE items SET n = 6 RETURNING n")
    (outcome,) = await adapter.batch_each([Batch([update], wanted=())])
    expect(type(outcome), list, "outcome without a wanted result")
    expect(await adapter.query("SELECT n FROM items"), [(6,)], "rows")


@case(Need.SQLITE)
async def rows_are_those_that_recall_them(open_adapter: OpenAdapter) -> None:
    """Of several batches that share a commit, each has its own results."""
    adapter = await open_adapter()
    await make_items(adapter, 1, 2)
    recall = "(SELECT json_group_array(json_object('n', n)) FROM items WHERE id = {})"
    batches = [
        Batch(
            [
                Guard("(SELECT n FROM items WHERE id = ?) > 0", (number,)),
                Statement("UPDATE items SET n = n + 1 WHERE id = ? RETURNING n", (number,)),
                Statement("UPDATE items SET name = 'x' WHERE id = ?", (number,)),
            ],
            wanted=(1, 2),
            recalls={1: recall.format(number)},
        )
        for number in (1, 2, 3, 1)
    ]
    outcomes = await adapter.batch_each(batches)
    told = [
        [(result.rows, result.rowcount) for result in outcome[1:]]
        if isinstance(outcome, list)
        else type(outcome).__name__
        for outcome in outcomes
    ]
    wanted = [
        [([(11,)], 1), ([], 1)],
        [([(21,)], 1), ([], 1)],
        "GuardFailed",
        [([(12,)], 1), ([], 1)],
    ]
    expect(told, wanted, "rows and counts")


@case()
async def an_empty_batch_gives_no_results(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    expect(await adapter.batch([]), [], "results")
    expect(await adapter.batch_each([]), [], "outcomes")


@case(Need.RETURNING)
async def returning_rows_of_a_batch(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    results = await adapter.batch(
        [
            Statement("UPDATE items SET n = n + ? RETURNING n", (5,)),
            Statement(INSERT + " RETURNING id, n", (2, "b", 7)),
            Statement("DELETE FROM items WHERE n = 99 RETURNING id"),
        ]
    )
    expect([result.rows for result in results], [[(15,)], [(2, 7)], []], "rows")
    expect([result.columns for result in results], [("n",), ("id", "n"), ("id",)], "columns")


@case()
async def a_failing_step_at_any_position_undoes_all(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    good = [Statement(INSERT, (number, "x", 0)) for number in (2, 3, 4)]
    for position in range(4):
        for bad, kind in (
            (Statement(INSERT, (1, "again", 0)), ConstraintViolation),
            (Statement("INSERT INTO nowhere VALUES (1)"), InvalidStatement),
            (Statement(INSERT, (5, "too few")), InvalidStatement),
        ):
            steps = [*good[:position], bad, *good[position:]]
            with expect_raises(kind, f"{bad.sql} at {position}"):
                await adapter.batch(steps)
            expect(await ids_in(adapter), [1], f"rows after a failure at {position}")
    await adapter.batch(good)
    expect(await ids_in(adapter), [1, 2, 3, 4], "rows without a failure")


@case()
async def a_guard_that_fails_names_its_position(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    good = [Statement(INSERT, (number, "x", 0)) for number in (2, 3, 4)]
    for position in range(4):
        steps: list[Statement | Guard] = [*good[:position], Guard(N_IS, (1, 11)), *good[position:]]
        with expect_raises(GuardFailed, f"guard at {position}") as raised:
            await adapter.batch(steps)
        expect(raised.error.index, position, "index of the guard")
        expect(await ids_in(adapter), [1], f"rows after a failed guard at {position}")


@case()
async def a_guard_that_holds_lets_the_batch_pass(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for position in range(3):
        good = [Statement(INSERT, (number + 10 * position, "x", 0)) for number in (2, 3)]
        steps: list[Statement | Guard] = [*good[:position], Guard(N_IS, (1, 10)), *good[position:]]
        expect(len(await adapter.batch(steps)), 3, f"results with a guard at {position}")
    expect(await ids_in(adapter), [1, 2, 3, 12, 13, 22, 23], "rows")


@case()
async def the_first_of_several_failing_guards_is_named(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    guards = [Guard(N_IS, (1, 10)), Guard(N_IS, (1, 0)), Guard(N_IS, (1, 0))]
    with expect_raises(GuardFailed, "two failing guards") as raised:
        await adapter.batch(guards)
    expect(raised.error.index, 1, "index")


@case()
async def guards_see_the_statements_before_them(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    insert = Statement(INSERT, (1, "x", 7))
    await adapter.batch([insert, Guard(N_IS, (1, 7))])
    expect(await ids_in(adapter), [1], "insert, then guard")
    with expect_raises(GuardFailed, "guard, then insert") as raised:
        await adapter.batch([Guard(N_IS, (2, 7)), Statement(INSERT, (2, "x", 7))])
    expect(raised.error.index, 0, "index")


@case()
async def a_guard_holds_only_if_it_is_true(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for condition in (
        "1 = 1",
        "EXISTS (SELECT 1 FROM items WHERE id = 1)",
        f"({COUNT}) = 1",
        "(SELECT name FROM items WHERE id = 1) = 'a1' -- with a comment",
        "1 = 2 OR 1 = 1",
    ):
        await adapter.batch([Guard(condition)])
    for condition in (
        "1 = 2",
        "NULL = 1",
        "(SELECT n FROM items WHERE id = 99) = 0",
        "NOT EXISTS (SELECT 1 FROM items WHERE id = 1)",
        "(SELECT n FROM items WHERE id = 99) <> 0",
    ):
        with expect_raises(GuardFailed, condition):
            await adapter.batch([Guard(condition)])


@case(Need.SQLITE)
async def a_guard_that_is_no_condition_has_its_value_in_sql(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    values: list[Value] = [2, "1", 0.5]
    for value in values:
        await adapter.batch([Guard("?", (value,))])
    values = [0, "0", "yes", None]
    for value in values:
        with expect_raises(GuardFailed, repr(value)):
            await adapter.batch([Guard("?", (value,))])


@case()
async def a_wrong_guard_is_an_invalid_statement(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for guard in (
        Guard("(SELECT n FROM nowhere) = 1"),
        Guard("id = "),
        Guard(""),
        Guard("1 = ?"),
        Guard("1 = 1", (1,)),
        Guard("1 = 1)"),
    ):
        with expect_raises(InvalidStatement, repr(guard)):
            await adapter.batch([Statement(INSERT, (1, "x", 1)), guard])
    expect(await ids_in(adapter), [], "rows")


@case(Need.ROWIDS)
async def a_batch_can_use_the_rowid_of_its_own_insert(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await adapter.execute("CREATE TABLE parents (id INTEGER PRIMARY KEY, name TEXT)")
    await adapter.execute("CREATE TABLE children (parent INTEGER, name TEXT)")
    await adapter.execute("INSERT INTO parents (id) VALUES (41)")
    results = await adapter.batch(
        [
            Statement("INSERT INTO parents (name) VALUES ('p')"),
            Statement("INSERT INTO children VALUES (last_insert_rowid(), 'c')"),
        ]
    )
    expect(results[0].lastrowid, 42, "lastrowid")
    expect(await adapter.query("SELECT parent FROM children"), [(42,)], "reference")
