"""The fast path for reads."""

from __future__ import annotations

from typing import cast

from buntime_database import DatabaseClosed, InvalidStatement, ReadsAtOnce, ResultTooLarge

from buntime_database_conformance.dialect import ids_in, make_items
from buntime_database_conformance.expect import expect, expect_raises
from buntime_database_conformance.suite import Need, OpenAdapter, case


@case()
async def point_reads_and_scans_agree(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1, 2, 3)
    for sql, args, rows in (
        ("SELECT id, name FROM items WHERE id = ?", (2,), [(2, "a2")]),
        ("SELECT id FROM items WHERE id = ?", (9,), []),
        ("SELECT id, n FROM items ORDER BY id DESC LIMIT 2", (), [(3, 30), (2, 20)]),
        ("SELECT count(*) FROM items", (), [(3,)]),
    ):
        for point in (True, False):
            got = await adapter.query(sql, args, point=point)
            expect(got, rows, f"{sql}, point={point}")
        result = await adapter.execute_result(sql, args)
        expect(result.rows, rows, f"{sql} by execute_result")


@case()
async def a_read_sees_every_write_acknowledged_before_it(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for number in range(50):
        await adapter.execute("UPDATE items SET n = ? WHERE id = 1", (number,))
        point = number % 2 == 0
        rows = await adapter.query("SELECT n FROM items WHERE id = 1", point=point)
        expect(rows, [(number,)], f"own write, point={point}")


@case()
async def query_refuses_to_write(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for sql in (
        "INSERT INTO items (id) VALUES (2)",
        "UPDATE items SET n = 0",
        "DELETE FROM items",
        "DROP TABLE items",
        "CREATE TABLE other (id BIGINT)",
        "/* SELECT */ DELETE FROM items",
    ):
        for point in (False, True):
            with expect_raises(InvalidStatement, f"query({sql}, point={point})"):
                await adapter.query(sql, point=point)
    expect(await adapter.query("SELECT id, n FROM items"), [(1, 10)], "what is left")


@case(Need.RETURNING)
async def query_refuses_to_write_and_return(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for sql in (
        "INSERT INTO items (id) VALUES (2) RETURNING id",
        "WITH g AS (SELECT 1) DELETE FROM items WHERE id IN (SELECT * FROM g) RETURNING id",
    ):
        for point in (False, True):
            with expect_raises(InvalidStatement, f"query({sql}, point={point})"):
                await adapter.query(sql, point=point)
    expect(await ids_in(adapter), [1], "what is left")


@case(Need.SQLITE)
async def a_shared_connection_cannot_be_changed(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter, 1)
    for sql in (
        "PRAGMA query_only = 0",
        "PRAGMA query_only(1)",
        "PRAGMA main.foreign_keys = off",
        "PRAGMA synchronous = off",
        "PRAGMA journal_mode = DELETE",
        'PRAGMA "query_only" = 1',
    ):
        for point in (False, True):
            with expect_raises(InvalidStatement, f"query({sql}, point={point})"):
                await adapter.query(sql, point=point)
        with expect_raises(InvalidStatement, sql):
            await adapter.execute(sql)
    with expect_raises(InvalidStatement, "a write after PRAGMA query_only = 0"):
        await adapter.query("DELETE FROM items", point=True)
    await adapter.execute("DELETE FROM items")
    expect(await ids_in(adapter), [], "what is left")


@case(Need.READS_AT_ONCE)
async def reads_at_once_are_those_of_query(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    query_now = cast(ReadsAtOnce, adapter).query_now
    await make_items(adapter, 1, 2)
    for number in range(3, 20):
        expect(query_now("SELECT name FROM items WHERE id = ?", (2,)), [("a2",)], "a row")
        expect(query_now("SELECT count(*) FROM items"), [(number - 1,)], "what was written")
        await adapter.execute("INSERT INTO items (id, name) VALUES (?, 'x')", (number,))
    with expect_raises(InvalidStatement, "a write"):
        query_now("DELETE FROM items")
    long = "SELECT group_concat(name) FROM items"
    with expect_raises(ResultTooLarge, "a long text"):
        query_now(long, max_bytes=10)
    expect(query_now(long, max_bytes=10_000), await adapter.query(long), "the text")
    await adapter.close()
    with expect_raises(DatabaseClosed, "a read afterwards"):
        query_now(long)


@case(Need.SQLITE)
async def pragmas_that_look_things_up(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    for point in (False, True):
        rows = await adapter.query("PRAGMA table_info(items)", point=point)
        expect([row[1] for row in rows], ["id", "name", "n"], f"columns, point={point}")
    rows = await adapter.query("SELECT name FROM pragma_table_info('items') ORDER BY cid")
    expect(rows, [("id",), ("name",), ("n",)], "columns by function")
    expect(await adapter.execute("PRAGMA user_version"), [{"user_version": 0}], "version")
    await adapter.execute("PRAGMA user_version = 7")
    expect(await adapter.query("PRAGMA user_version"), [(7,)], "version after setting it")
