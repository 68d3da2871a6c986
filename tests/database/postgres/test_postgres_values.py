"""Values between the seam and PostgreSQL's types, both ways."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from buntime_database import InvalidStatement, Statement, Transaction
from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter
from buntime_plugin_database.engines.postgres.starting import prepare
from database.postgres.support import make_adapter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.postgres import Postgres
from support.sampling import share_of
from support.waiting import PATIENCE

FIT: list[tuple[str, Any, Any]] = [
    ("int2", -32768, -32768),
    ("int4", 7, 7),
    ("int4", 7.0, 7),
    ("int8", True, 1),
    ("float4", 0.5, 0.5),
    ("float8", 3, 3.0),
    ("float8", math.inf, math.inf),
    ("bool", True, 1),
    ("bool", 0, 0),
    ("bool", None, None),
    ("numeric", 5, 5),
    ("numeric", "1.50", "1.50"),
    ("numeric", -(2**63), -(2**63)),
    ("numeric", "9223372036854775808", "9223372036854775808"),
    ("numeric", 0.1, "0.1"),
    ("numeric", "NaN", "NaN"),
    ("text", 5, "5"),
    ("varchar(3)", "abc", "abc"),
    ("char(3)", "a", "a  "),
    ("bytea", b"\x00\xff", b"\x00\xff"),
    ("bytea", memoryview(b"xyz")[1:], b"yz"),
    ("json", '{"b": 1,  "a": 2}', '{"b": 1,  "a": 2}'),
    ("jsonb", '{"b": 1,  "a": [null]}', '{"a": [null], "b": 1}'),
    ("uuid", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11", "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
    ("date", "2026-02-28", "2026-02-28"),
    ("date", "infinity", "infinity"),
    ("time", "12:30", "12:30:00"),
    ("timestamp", "2026-02-28T12:30:00.000001", "2026-02-28 12:30:00.000001"),
    ("timestamptz", "2026-02-28T12:30:00+02:00", "2026-02-28 10:30:00+00"),
    ("timestamptz", "0044-03-15 12:00:00+00 BC", "0044-03-15 12:00:00+00 BC"),
    ("interval", "1 day 02:00:00", "P1DT2H"),
    ("inet", "10.0.0.1/8", "10.0.0.1/8"),
    ("cidr", "10.0.0.0/8", "10.0.0.0/8"),
    ("macaddr", "08:00:2b:01:02:03", "08:00:2b:01:02:03"),
    ("bit(3)", "101", "101"),
    ("money", "$1.00", "$1.00"),
    ("int4[]", [1, None, 2**31 - 1], "[1, null, 2147483647]"),
    ("text[]", ["a", 'b"'], '["a", "b\\""]'),
    ("bytea[]", [b"\x01"], '["\\\\x01"]'),
    ("mood", "sad", "sad"),
    ("int4range", "[1,5)", "[1,5)"),
    ("int4[]", "{1,2}", "[1, 2]"),
    ("point", "(1,2)", "[1.0, 2.0]"),
]

UNFIT = [
    ("int2", 2**20),
    ("int4", 2**40),
    ("int4", "seven"),
    ("int8", b"x"),
    ("bool", 2),
    ("uuid", "x"),
    ("date", "2026-02-30"),
    ("json", "{"),
    ("numeric", "many"),
    ("numeric(3)", 12345),
    ("varchar(3)", "abcd"),
    ("timestamptz", 5),
    ("bytea", "text"),
    ("mood", "hungry"),
    ("int4[]", 5),
    ("int4", [5]),
    ("int4[]", ["x"]),
    ("text", "a\0b"),
    ("text", "\ud800"),
    ("text[]", [*"abcdefgh", "a\0b"]),
    ("text[]", [*"abcdefgh", "\ud800"]),
    ("text[]", [*"abcdefgh", 5j]),
    ("int8[]", [*range(8), 2**63]),
]


@pytest.fixture
async def adapter(postgres: Postgres) -> AsyncIterator[PostgresAdapter]:
    opened = make_adapter(postgres.url)
    await prepare(opened, PATIENCE)
    await opened.execute("CREATE TYPE mood AS ENUM ('sad', 'happy')")
    yield opened
    await opened.close()


async def test_what_suits_a_type(adapter: PostgresAdapter) -> None:
    columns = ", ".join(f"c{number} {kind}" for number, (kind, _, _) in enumerate(FIT))
    await adapter.execute(f"CREATE TABLE t ({columns})")
    places = ", ".join("?" * len(FIT))
    await adapter.execute(f"INSERT INTO t VALUES ({places})", [sent for _, sent, _ in FIT])
    for row in (
        (await adapter.query("SELECT * FROM t"))[0],
        (await adapter.batch([Statement("DELETE FROM t RETURNING *")]))[0].rows[0],
    ):
        for (kind, sent, wanted), found in zip(FIT, row, strict=True):
            assert (type(found), found) == (type(wanted), wanted), (kind, sent)


@pytest.mark.parametrize(("kind", "value"), UNFIT)
async def test_what_does_not(adapter: PostgresAdapter, kind: str, value: Any) -> None:
    await adapter.execute(f"CREATE TABLE t (x {kind})")
    for _ in range(2):
        with pytest.raises(InvalidStatement):
            await adapter.execute("INSERT INTO t VALUES (?)", (value,))
    assert await adapter.query("SELECT count(*) FROM t") == [(0,)]


async def test_parameters_whose_type_nobody_says(adapter: PostgresAdapter) -> None:
    cases: tuple[tuple[str, Any, tuple[Any, ...]], ...] = (
        ("SELECT ?, ?, ?, ?, ?", (5, 1.5, "x", b"\x00", None), (5, 1.5, "x", b"\x00", None)),
        ("SELECT ? IS NULL, ? IS NOT NULL", (None, 5), (1, 1)),
        ("SELECT ? + ?", (2**40, 1), (2**40 + 1,)),
        ("SELECT ? || ?", ("a", "b"), ("ab",)),
        ("SELECT coalesce(?, ?)", (None, 7), (7,)),
        ("SELECT max(x) FROM (VALUES (?), (?)) AS v(x)", (10, 9), (10,)),
        ("SELECT ? % 7", (2**40,), (2**40 % 7,)),
        ("SELECT ?2 || ?1 || ?2", ("a", "b"), ("bab",)),
        ("SELECT $2 || $1 || $2", ("a", "b"), ("bab",)),
        ("SELECT $1::jsonb ? 'a', '{}'::jsonb ?| ARRAY['a']", ('{"a":1}',), (1, 0)),
        ("SELECT 7 = ANY(?)", ([7, 8],), (1,)),
        ("SELECT array_to_string(ARRAY(SELECT unnest(?::bytea[]) ORDER BY 1), ',')", ([],), ("",)),
        ("SELECT sum(x), avg(x) FROM (VALUES (1::int8), (2)) v(x)", (), (3, "1.5000000000000000")),
        (
            "SELECT int4range(1, 5), 'empty'::int4range, (1, 'a')",
            (),
            ("[1,5)", "empty", '[1, "a"]'),
        ),
    )
    for sql, args, wanted in cases:
        for _ in range(2):
            assert await adapter.query(sql, args) == [wanted], sql

    async def work(tx: Transaction) -> None:
        assert await tx.execute("SELECT ? AS x, ?::text AS y", (5, "a")) == [{"x": 5, "y": "a"}]

    await adapter.transaction(work)


async def test_in_a_batch_too(adapter: PostgresAdapter) -> None:
    """There an error of one statement would be one of all."""
    await adapter.execute("CREATE TABLE t (x int)")
    steps = [
        Statement("INSERT INTO t VALUES (1)"),
        Statement("SELECT ? + ?", (1, 2)),
        Statement("INSERT INTO t SELECT ? WHERE ? IS NOT NULL", (2, "a")),
    ]
    assert (await adapter.batch(steps))[1].rows == [(3,)]
    assert await adapter.query("SELECT x FROM t ORDER BY x") == [(1,), (2,)]


async def test_a_type_that_changes_under_a_prepared_statement(adapter: PostgresAdapter) -> None:
    await adapter.execute("CREATE TABLE t (x int)")
    insert = "INSERT INTO t VALUES (?)"
    for kind, value in (("int", 1), ("text", "a"), ("bytea", b"b"), ("int8", 2**40)):
        await adapter.execute("ALTER TABLE t DROP COLUMN x")
        await adapter.execute(f"ALTER TABLE t ADD COLUMN x {kind}")
        other = make_adapter(
            f"postgresql://postgres@{adapter.server.reads.server.split()[-1]}",
            schema=adapter.schema,
        )
        for one in (adapter, other):
            await one.execute("DELETE FROM t")
            await one.execute(insert, (value,))
            assert await one.query("SELECT x FROM t") == [(value,)]
        await other.close()


values = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0"), max_size=20),
    st.binary(max_size=20),
)


@settings(
    deadline=None,
    max_examples=share_of(60),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(values, min_size=1, max_size=12))
async def test_whatever_is_asked_comes_back(adapter: PostgresAdapter, row: list[Any]) -> None:
    (found,) = await adapter.query(f"SELECT {', '.join('?' * len(row))}", row)
    assert list(map(type, found)) == list(map(type, row))
    assert found == tuple(row)
