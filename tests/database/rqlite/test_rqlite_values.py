"""Values are exact both ways, wherever they stand: in columns of any type, and in expressions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from buntime_database import InvalidStatement, Statement, Value
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.rqlite.values import encode_statement
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.rqlite import Rqlited

TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(2**53 - 2, 2**53 + 2),
    # SQLite stores no negative zero.
    st.floats(allow_nan=False, allow_infinity=False).map(lambda number: number + 0.0),
    TEXTS,
    st.sampled_from(["x'00'", "X'ab'", "x'", "x'zz'", "\0", "a\0b", "'", "?1"]),
    st.binary(),
)
# Without a type a column takes what comes; one for blobs does so too. An expression has no type.
READ = """
SELECT a, b, max(a, a), coalesce(b, NULL), CASE WHEN 1 THEN a END, (SELECT b), ?1, ?2, ?1
FROM vals WHERE id = 1"""


async def _round_trip(node: Rqlited, rows: list[tuple[Value, Value]]) -> None:
    adapter = RqliteAdapter([node.url])
    try:
        await adapter.execute("DROP TABLE IF EXISTS vals")
        await adapter.execute("CREATE TABLE vals (id INTEGER PRIMARY KEY, a, b BLOB)")
        for one, two in rows:
            put = "REPLACE INTO vals (a, id, b) VALUES (?, 1, ?)"
            await adapter.batch([Statement(put, (one, two))])
            (found,) = await adapter.query(READ, (one, two))
            wanted = (one, two, one, two, one, two, one, two, one)
            assert list(map(_exact, found)) == list(map(_exact, wanted))
    finally:
        await adapter.close()


def _exact(value: Value) -> tuple[str, Any]:
    return type(value).__name__, value.hex() if isinstance(value, float) else value


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=5))
def test_values_round_trip(node: Rqlited, rows: list[tuple[Value, Value]]) -> None:
    asyncio.run(_round_trip(node, rows))


@pytest.mark.parametrize(
    ("sql", "args", "sent"),
    [
        ("SELECT ?, ?", (1, "a"), ["SELECT ?, ?", 1, "a"]),
        ("SELECT ?, ?, ?", (1, b"\0\xff", 2), ["SELECT ?1, x'00ff', ?2", 1, 2]),
        ("SELECT ?2, ?1, ?2", (b"a", 2), ["SELECT ?1, x'61', ?1", 2]),
        ("SELECT ?3, ?1, ?2", (b"", 2, 3), ["SELECT ?1, x'', ?2", 3, 2]),
        ("SELECT :a, :b, :a", (b"a", 2), ["SELECT x'61', ?1, x'61'", 2]),
        ("SELECT '?', \"?\" -- ?\n, ?", (b"a",), ["SELECT '?', \"?\" -- ?\n, x'61'"]),
        ("SELECT ?", ("x'61'",), ["SELECT CAST(x'7827363127' AS TEXT)"]),
        ("SELECT ?", (True,), ["SELECT ?", 1]),
        ("SELECT ?", (float("nan"),), ["SELECT ?", None]),
    ],
)
def test_what_is_sent(sql: str, args: tuple[Value, ...], sent: list[object]) -> None:
    assert encode_statement(sql, args) == sent


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), 2**63, "\ud800", object()])
def test_what_cannot_be_sent(value: Any) -> None:
    with pytest.raises(InvalidStatement):
        encode_statement("SELECT ?", (value,))


async def test_infinity_cannot_be_read(node: Rqlited) -> None:
    adapter = RqliteAdapter([node.url])
    with pytest.raises(InvalidStatement, match="infinity"):
        await adapter.query("SELECT 9e999")
    assert await adapter.query("SELECT 1.0, 1") == [(1.0, 1)]
    await adapter.close()


async def test_columns_are_named_as_they_are(node: Rqlited) -> None:
    adapter = RqliteAdapter([node.url])
    for sql, names in (
        ("SELECT 1 AS a, 2 AS a, 3 AS b, 4 AS a", ("a", "a", "b", "a")),
        ("SELECT 1 AS \"a:1\", 2 AS ':'", ("a:1", ":")),
        ("SELECT count(*), 1 + 1", ("count(*)", "1 + 1")),
        ("VALUES (1, 2)", ("column1", "column2")),
        ("WITH n(x) AS (SELECT 1) SELECT x FROM n; -- end", ("x",)),
    ):
        for _ in range(2):
            assert (await adapter.execute_result(sql)).columns == names
    await adapter.close()
