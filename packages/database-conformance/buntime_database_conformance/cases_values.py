"""Values arrive as they were sent."""

from __future__ import annotations

from enum import IntEnum

from buntime_database import Adapter, Value

from buntime_database_conformance.dialect import make_items, values_table
from buntime_database_conformance.expect import expect
from buntime_database_conformance.suite import Need, OpenAdapter, case

INT64_MIN, INT64_MAX = -(2**63), 2**63 - 1


async def _round_trips(adapter: Adapter, column: str, values: list[Value]) -> None:
    await adapter.execute(values_table(adapter))
    for number, value in enumerate(values):
        insert = f"INSERT INTO vals (id, {column}) VALUES (?, ?)"  # noqa: S608 - our column
        await adapter.execute(insert, (number, value))
    select = f"SELECT {column} FROM vals ORDER BY id"  # noqa: S608 - our column
    for point in (False, True):
        rows = await adapter.query(select, point=point)
        expect(rows, [(value,) for value in values], f"values read with point={point}")
    result = await adapter.execute_result(select)
    expect(result.rows, [(value,) for value in values], "values read with execute_result")


@case()
async def integers_up_to_64_bits(open_adapter: OpenAdapter) -> None:
    values: list[Value] = [0, 1, -1, 2**31, 2**53 + 1, INT64_MAX, INT64_MIN, None]
    await _round_trips(await open_adapter(), "i", values)


class _Level(IntEnum):
    HIGH = 3


@case()
async def kinds_of_integers_are_integers(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    rows = await adapter.query("SELECT ?, ?, ?", (_Level.HIGH, True, False))
    expect(rows, [(3, 1, 0)], "values of classes that are integers")


@case()
async def floats_stay_floats(open_adapter: OpenAdapter) -> None:
    values: list[Value] = [1.0, 0.0, -2.5, 0.1, 1e300, 5e-324, 2.0**53, None]
    await _round_trips(await open_adapter(), "f", values)


@case()
async def texts_in_any_script(open_adapter: OpenAdapter) -> None:
    values: list[Value] = ["", "a", "it's", "ü ß Ж 漢字", "👩\u200d👧", "line\nbreak", "1"]
    values.append("x" * 100_000)
    await _round_trips(await open_adapter(), "t", values)


@case(Need.NUL_IN_TEXT)
async def texts_with_nul(open_adapter: OpenAdapter) -> None:
    await _round_trips(await open_adapter(), "t", ["\0", "a\0b", "a\0"])


@case()
async def blobs_with_every_byte(open_adapter: OpenAdapter) -> None:
    values: list[Value] = [b"", b"\0", bytes(range(256)), b"\xff" * 100_000, None]
    await _round_trips(await open_adapter(), "b", values)


@case()
async def booleans_are_one_and_zero(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await adapter.execute(values_table(adapter))
    await adapter.execute("INSERT INTO vals (id, i) VALUES (1, ?), (2, ?)", (True, False))
    expect(await adapter.query("SELECT i FROM vals ORDER BY id"), [(1,), (0,)], "booleans")


@case()
async def arguments_are_never_read_as_sql(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    text = "'); DROP TABLE items; --"
    await adapter.execute("INSERT INTO items (id, name) VALUES (1, ?)", (text,))
    expect(await adapter.query("SELECT name FROM items"), [(text,)], "the text")


@case()
async def arguments_may_be_any_sequence(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    await make_items(adapter)
    await adapter.execute("INSERT INTO items (id, n) VALUES (?, ?)", [1, 2])
    for point in (False, True):
        rows = await adapter.query("SELECT n FROM items WHERE id = ?", [1], point=point)
        expect(rows, [(2,)], f"a list of arguments, point={point}")


@case(Need.CASEFOLD)
async def casefold_is_that_of_python(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    for value in ("Straße ÄÖÜ", "ΣΑΣ", "İ", "plain"):
        rows = await adapter.query("SELECT casefold(?)", (value,))
        expect(rows, [(value.casefold(),)], f"casefold of {value}")
        rows = await adapter.query("SELECT casefold(?)", (value,), point=True)
        expect(rows, [(value.casefold(),)], f"casefold of {value} in a point read")
    rows = await adapter.query("SELECT casefold(?), casefold(?)", (None, 5))
    expect(rows, [(None, 5)], "what is not text")
