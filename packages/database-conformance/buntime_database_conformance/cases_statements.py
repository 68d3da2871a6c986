"""Single statements of every kind, and the shape of their results."""

from __future__ import annotations

from buntime_database_conformance.dialect import ITEMS, make_items
from buntime_database_conformance.expect import expect
from buntime_database_conformance.suite import Need, OpenAdapter, case


@case()
async def execute_gives_dictionaries_for_a_query_and_nothing_for_a_write(
    open_adapter: OpenAdapter,
) -> None:
    adapter = await open_adapter()
    expect(await adapter.execute(ITEMS), [], "CREATE TABLE")
    insert = "INSERT INTO items (id, name, n) VALUES (1, 'a', 10), (2, 'b', NULL)"
    expect(await adapter.execute(insert), [], "INSERT")
    expect(
        await adapter.execute("SELECT id, name, n FROM items ORDER BY id"),
        [{"id": 1, "name": "a", "n": 10}, {"id": 2, "name": "b", "n": None}],
        "SELECT",
    )
    expect(await adapter.execute("UPDATE items SET n = 11 WHERE id = ?", (1,)), [], "UPDATE")
    expect(await adapter.execute("SELECT n FROM items WHERE id = 1"), [{"n": 11}], "the update")
    expect(await adapter.execute("DELETE FROM items WHERE id = ?", (2,)), [], "DELETE")
    expect(await adapter.execute("SELECT id FROM items"), [{"id": 1}], "the deletion")


@case()
async def definitions_of_every_kind(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for sql in (
        "CREATE INDEX items_n ON items (n)",
        "CREATE VIEW big AS SELECT id FROM items WHERE n > 5",
        "ALTER TABLE items ADD COLUMN extra BIGINT",
    ):
        expect(await adapter.execute(sql), [], sql)
    expect(await adapter.execute("SELECT id FROM big"), [{"id": 1}], "the view")
    expect(await adapter.execute("SELECT extra FROM items"), [{"extra": None}], "the column")
    for sql in ("DROP VIEW big", "DROP TABLE items"):
        expect(await adapter.execute(sql), [], sql)


@case()
async def with_and_comments_and_a_trailing_semicolon(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1, 2)
    for sql in (
        "WITH chosen AS (SELECT id FROM items WHERE n = ?) SELECT id FROM chosen",
        "  SELECT id FROM items WHERE n = ? ; ",
        "/* a; b */ SELECT id -- c; d\n FROM items WHERE n = ?; -- the end\n /* ; */",
        "SELECT id FROM items WHERE n = ? AND name <> ';'",
    ):
        expect(await adapter.execute(sql, (20,)), [{"id": 2}], sql)


@case()
async def execute_one_gives_the_first_row_or_none(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1, 2)
    sql = "SELECT id FROM items WHERE n >= ? ORDER BY id"
    expect(await adapter.execute_one(sql, (10,)), {"id": 1}, "two rows")
    expect(await adapter.execute_one(sql, (99,)), None, "no row")
    expect(await adapter.execute_one("DELETE FROM items"), None, "a write")


@case()
async def columns_are_known_without_rows(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    result = await adapter.execute_result("SELECT id, name AS called FROM items")
    expect(result.columns, ("id", "called"), "columns")
    expect(result.rows, [], "rows")


@case()
async def rows_are_tuples_in_the_order_of_the_columns(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1, 2)
    result = await adapter.execute_result("SELECT n, id FROM items ORDER BY id")
    expect(result.columns, ("n", "id"), "columns")
    expect(result.rows, [(10, 1), (20, 2)], "rows")
    expect(result.rowcount, 0, "rowcount of a query")
    expect(result.lastrowid, None, "lastrowid of a query")


@case()
async def the_last_of_equal_column_names_wins(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    result = await adapter.execute_result("SELECT id AS x, n AS x FROM items")
    expect(result.columns, ("x", "x"), "columns")
    expect(result.rows, [(1, 10)], "rows")
    expect(result.as_dicts(), [{"x": 10}], "dictionaries")


@case()
async def rowcount_counts_what_changed(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for sql, wanted in (
        ("INSERT INTO items (id, n) VALUES (1, 1), (2, 2), (3, 3)", 3),
        ("UPDATE items SET n = n + 1 WHERE id < 3", 2),
        ("UPDATE items SET n = 0 WHERE id = 99", 0),
        ("DELETE FROM items WHERE id = 99", 0),
        ("DELETE FROM items WHERE id = 1", 1),
        ("DELETE FROM items", 2),
        ("DELETE FROM items", 0),
        ("CREATE TABLE other (id BIGINT)", 0),
    ):
        expect((await adapter.execute_result(sql)).rowcount, wanted, sql)


@case(Need.RETURNING)
async def returning_gives_rows_and_a_count(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for sql, rows in (
        ("INSERT INTO items (id, n) VALUES (1, 5), (2, 6) RETURNING id", [(1,), (2,)]),
        ("UPDATE items SET n = n + 1 WHERE id = 2 RETURNING n", [(7,)]),
        ("UPDATE items SET n = 0 WHERE id = 9 RETURNING n", []),
        ("DELETE FROM items WHERE id = 1 RETURNING id", [(1,)]),
    ):
        result = await adapter.execute_result(sql)
        expect(result.rows, rows, sql)
        expect(result.rowcount, len(rows), f"rowcount of {sql}")
        expect(len(result.columns), 1, f"columns of {sql}")
    expect(await adapter.query("SELECT id, n FROM items"), [(2, 7)], "what is left")


@case(Need.RETURNING)
async def an_insert_that_conflicts_may_do_nothing_or_update(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    nothing = "INSERT INTO items (id, n) VALUES (1, 7) ON CONFLICT DO NOTHING"
    result = await adapter.execute_result(nothing)
    expect((result.rowcount, result.rows), (0, []), nothing)
    update = (
        "INSERT INTO items (id, n) VALUES (1, 7)"
        " ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING n"
    )
    result = await adapter.execute_result(update)
    expect((result.rowcount, result.rows), (1, [(7,)]), update)


@case(Need.ROWIDS)
async def lastrowid_is_that_of_the_last_inserted_row(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await adapter.execute("CREATE TABLE auto (id INTEGER PRIMARY KEY, n BIGINT UNIQUE)")
    insert = "INSERT INTO auto (n) VALUES (?)"
    expect((await adapter.execute_result(insert, (1,))).lastrowid, 1, "first")
    expect((await adapter.execute_result(insert, (2,))).lastrowid, 2, "second")
    two = "INSERT INTO auto (n) VALUES (3), (4)"
    expect((await adapter.execute_result(two)).lastrowid, 4, "two rows at once")
    nothing = "INSERT INTO auto (n) VALUES (4) ON CONFLICT DO NOTHING"
    expect((await adapter.execute_result(nothing)).lastrowid, None, "nothing inserted")
