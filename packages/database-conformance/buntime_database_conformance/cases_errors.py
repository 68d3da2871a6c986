"""Mistakes and their exceptions. The adapter must work afterwards as before."""

from __future__ import annotations

from typing import Any

from buntime_database import Adapter, ConstraintViolation, Guard, InvalidStatement, Statement, Value

from buntime_database_conformance.dialect import INSERT, ids_in, make_items
from buntime_database_conformance.expect import expect, expect_raises
from buntime_database_conformance.suite import Need, OpenAdapter, case


async def _refused(adapter: Adapter, sql: str, args: Any = ()) -> None:
    """Refused in every way of running it, without any effect."""
    what = f"{sql} with {args!r}"
    with expect_raises(InvalidStatement, f"execute {what}"):
        await adapter.execute(sql, args)
    with expect_raises(InvalidStatement, f"execute_result {what}"):
        await adapter.execute_result(sql, args)
    with expect_raises(InvalidStatement, f"batch {what}"):
        await adapter.batch([Statement(INSERT, (1, "x", 1)), Statement(sql, args)])
    for point in (False, True):
        with expect_raises(InvalidStatement, f"query(point={point}) {what}"):
            await adapter.query(sql, args, point=point)
    expect(await ids_in(adapter), [], f"rows after {what}")


@case()
async def wrong_sql_is_refused(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for sql in (
        "SELEKT 1",
        "SELECT FROM WHERE",
        "SELECT 'unterminated",
        "SELECT nothing FROM items",
        "SELECT 1 FROM no_such_table",
        "INSERT INTO no_such_table VALUES (1)",
        "INSERT INTO items (id, nothing) VALUES (1, 1)",
        "",
        "  ",
        ";",
        "-- only a comment",
    ):
        await _refused(adapter, sql)


@case()
async def wrong_numbers_of_arguments_are_refused(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for sql, args in (
        ("SELECT id FROM items WHERE n = ?", ()),
        ("SELECT id FROM items WHERE n = ?", (1, 2)),
        ("INSERT INTO items (id, n) VALUES (?, ?)", (1,)),
        ("INSERT INTO items (id, n) VALUES (1, 1)", (1,)),
    ):
        await _refused(adapter, sql, args)


@case()
async def arguments_that_sql_cannot_hold_are_refused(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    sql = "SELECT id FROM items WHERE n = ?"
    unfit: tuple[object, ...] = (2**63, -(2**63) - 1, "\ud800", object(), {"a": 1}, [1])
    for value in unfit:
        await _refused(adapter, sql, (value,))
        with expect_raises(InvalidStatement, f"guard with {value!r}"):
            guard: Any = Guard("? IS NOT NULL", (value,))  # type: ignore[arg-type] # wrong on purpose
            await adapter.batch([guard])
    await _refused(adapter, "SELECT '\ud800' FROM items")


@case()
async def a_statement_that_would_break_out_is_refused(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for sql in (
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT here",
        "RELEASE here",
        "  /* hidden */ commit ;",
        "DELETE FROM items; COMMIT",
        "SELECT 1; SELECT 2",
        "SELECT ';'; SELECT 2",
        "SELECT 1; -- comment\n SELECT 2",
    ):
        await _refused(adapter, sql)
        with expect_raises(InvalidStatement, f"guard {sql}"):
            await adapter.batch([Statement(INSERT, (1, "x", 1)), Guard(f"1 = 1); {sql} --")])
    expect(await ids_in(adapter), [], "rows after all")


@case(Need.SQLITE)
async def statements_that_leave_the_database_are_refused(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for sql in (
        "ATTACH ':memory:' AS other",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '/nonexistent/copy.db'",
    ):
        await _refused(adapter, sql)


@case()
async def constraints_of_every_kind(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await adapter.execute("CREATE TABLE parents (id BIGINT PRIMARY KEY)")
    await adapter.execute(
        "CREATE TABLE children (id BIGINT PRIMARY KEY, parent BIGINT, code BIGINT UNIQUE,"
        " must BIGINT NOT NULL, small BIGINT CHECK (small < 10),"
        " FOREIGN KEY (parent) REFERENCES parents (id))"
    )
    insert = "INSERT INTO children (id, parent, code, must, small) VALUES (?, ?, ?, ?, ?)"
    await adapter.execute("INSERT INTO parents VALUES (1)")
    await adapter.execute(insert, (1, 1, 1, 1, 1))
    rows: tuple[tuple[str, tuple[Value, ...]], ...] = (
        ("PRIMARY KEY", (1, 1, 2, 1, 1)),
        ("UNIQUE", (2, 1, 1, 1, 1)),
        ("NOT NULL", (2, 1, 2, None, 1)),
        ("CHECK", (2, 1, 2, 1, 10)),
        ("FOREIGN KEY", (2, 9, 2, 1, 1)),
    )
    for kind, args in rows:
        with expect_raises(ConstraintViolation, f"{kind} in execute"):
            await adapter.execute(insert, args)
        with expect_raises(ConstraintViolation, f"{kind} in batch"):
            await adapter.batch([Statement(insert, args)])
    with expect_raises(ConstraintViolation, "deleting a parent"):
        await adapter.execute("DELETE FROM parents")
    expect(await adapter.query("SELECT id FROM children"), [(1,)], "children")
    await adapter.execute(insert, (2, None, None, 1, None))
    expect(await adapter.query("SELECT count(*) FROM children"), [(2,)], "children after all")
