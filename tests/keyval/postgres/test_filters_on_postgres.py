"""Filters in PostgreSQL and in Python decide the same, whatever the documents and filters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import asyncpg
import msgspec
import pytest
from buntime_keyval.wire import InvalidInput, canonical_value
from buntime_plugin_database.engines.postgres.adapter import CAPABILITIES
from buntime_plugin_keyval.model.where import matches, parse_where
from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.dialect import POSTGRES
from buntime_plugin_keyval.storage.filters.compile import compile_where
from buntime_plugin_keyval.storage.schema import load_migrations
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from keyval.where.test_where_properties import (
    as_received,
    bigints,
    conditions,
    documents,
    filters,
    integers,
    numbers,
    texts,
    turned,
)
from support.postgres import Postgres
from support.sampling import share_of

NOW_MS = 1_700_000_000_000
plenty = settings(max_examples=share_of(600), deadline=None, derandomize=True, database=None)


class Rows:
    """Values in rows of a server, as they come from an array of texts."""

    def __init__(self, loop: asyncio.AbstractEventLoop, connection: Any) -> None:
        self._loop = loop
        self._connection = connection

    def agree(self, values: Sequence[object], raw: object) -> list[int]:
        """The positions of the values that match, on which the server and Python agree."""
        texts = [canonical(value) for value in values]
        where = parse_where(raw)
        decided = [n for n, text in enumerate(texts) if decide(where, text)]
        printed = POSTGRES.filter(compile_where(where, NOW_MS), CAPABILITIES)
        assert printed.sql.count("?") == len(printed.args)
        sql = f"""
SELECT place - 1, value FROM unnest(?::text[]) WITH ORDINALITY AS entries (value, place)
WHERE {printed.sql} ORDER BY place"""
        rows = self._loop.run_until_complete(
            self._connection.fetch(numbered(sql), texts, *printed.args)
        )
        found = [n for n, text in rows if printed.exact or decide(where, text)]
        assert found == decided
        return decided


def canonical(value: object) -> str:
    try:
        text = canonical_value(json.dumps(value).encode(), NOW_MS)
    except InvalidInput:
        assume(False)  # it is never stored
        raise
    return text


def decide(where: Any, text: str) -> bool:
    return matches(where, msgspec.json.decode(text), now_ms=NOW_MS)


@pytest.fixture(scope="module")
def rows(postgres: Postgres) -> Iterator[Rows]:
    loop = asyncio.new_event_loop()
    url = postgres.url_of(postgres.create_database())
    connection = loop.run_until_complete(asyncpg.connect(url, statement_cache_size=0))
    first = load_migrations(POSTGRES.schema.migrations)[0]
    for statement in first.statements:
        loop.run_until_complete(connection.execute(statement))
    yield Rows(loop, connection)
    loop.run_until_complete(connection.close())
    loop.close()


@plenty
@given(documents, filters)
def test_on_any_filter(rows: Rows, documents: list[object], where: object) -> None:
    rows.agree(documents, as_received(where))


@plenty
@given(st.lists(numbers | bigints | integers.map(turned), min_size=1, max_size=8), conditions)
def test_on_numbers(rows: Rows, documents: list[object], condition: object) -> None:
    rows.agree(documents, {"$": as_received(condition)})


def test_on_doubles_that_look_like_integers(rows: Rows) -> None:
    double, integer = 3.746879641698481e16, 37468796416984808
    assert integer == double
    values = [{"x": x} for x in (double, integer, integer + 2, 5)]
    assert rows.agree(values, {"x": {"$eq": double}}) == [0, 1]
    assert rows.agree(values, {"x": {"$gt": double}}) == [2]
    assert rows.agree(values, {"x": {"$lte": integer + 2}}) == [0, 1, 2, 3]


SPECIAL = st.text(st.sampled_from("\0\x01\x02\x03ab\\u01"), max_size=5)


@plenty
@given(
    st.lists(texts | SPECIAL | st.lists(texts | SPECIAL, max_size=2), min_size=1, max_size=8),
    conditions
    | st.tuples(
        st.sampled_from(
            ["$eq", "$ne", "$gt", "$lte", "$contains", "$startsWith", "$endsWith", "$notContains"]
        ),
        SPECIAL,
    ).map(lambda pair: {pair[0]: pair[1]}),
    st.booleans(),
)
def test_on_texts(rows: Rows, documents: list[object], condition: object, negate: bool) -> None:
    where = {"x": as_received(condition)}
    rows.agree([{"x": document} for document in documents], {"$not": where} if negate else where)


def test_on_the_longest_bigints(rows: Rows) -> None:
    bigints = [{"__type": "bigint", "value": sign + "7" * 10_000} for sign in ("", "-")]
    values = [{"x": x} for x in (*bigints, 5)]
    assert rows.agree(values, {"x": {"$gt": 10}}) == [0]
    assert rows.agree(values, {"x": {"$lt": -10.5}}) == [1]
    assert rows.agree(values, {"x": {"$eq": bigints[1]}}) == [1]
    assert rows.agree(values, {"x": {"$between": [0, bigints[0]]}}) == [0, 2]
