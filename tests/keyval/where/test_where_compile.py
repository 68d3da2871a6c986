"""The SQL itself: everything bound, exact where it can be, and large filters still run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest
from buntime_plugin_keyval.model.where import parse_where
from buntime_plugin_keyval.storage.dialects.filters import Printed
from buntime_plugin_keyval.storage.dialects.sqlite.filters.conditions import FilteredField
from buntime_plugin_keyval.storage.dialects.sqlite.filters.printing import print_condition
from buntime_plugin_keyval.storage.filters.compile import compile_where

Ask: TypeAlias = Callable[[Sequence[object], object], list[int]]


def compiled(raw: object, *, casefold: bool = True, column: str = "value") -> Printed:
    """Parse, compile and print over a column."""
    return print_condition(compile_where(parse_where(raw), 0), FilteredField(column, casefold))


FOLDING = ["$containsi", "$notContainsi", "$startsWithi", "$endsWithi"]


@pytest.mark.parametrize("operator", FOLDING)
def test_folding_is_exact_only_with_the_function(operator: str) -> None:
    raw = {"a": {operator: "x"}}
    assert compiled(raw).exact
    assert not compiled(raw, casefold=False).exact
    assert not compiled({"$or": [{"b": 1}, {"$not": raw}]}, casefold=False).exact
    assert "casefold" not in compiled(raw, casefold=False).sql


@pytest.mark.parametrize("operator", FOLDING)
def test_folding_the_empty_text_is_exact_everywhere(operator: str) -> None:
    assert compiled({"a": {operator: ""}}, casefold=False).exact


def test_a_quote_in_a_name_is_left_to_the_recheck_of_other_engines(ask: Ask) -> None:
    raw = {"$not": {'a"b': 1}}
    assert compiled(raw).exact
    assert not compiled(raw, casefold=False).exact
    assert ask([{'a"b': 1}, {'a"b': 2}, {}], raw) == [1]


def test_everything_else_is_exact_everywhere() -> None:
    raw = {
        "a": {"$gt": 1, "$lte": 2.5, "$ne": "x", "$in": [1, None], "$nin": [True]},
        "b[0]": {"$contains": "x", "$notContains": "y", "$startsWith": "z", "$endsWith": "w"},
        "c.d": {"$null": False, "$empty": True, "$notEmpty": True, "$between": ["a", "b"]},
        "$not": {"$or": [{"e": {"$now": True}}, {"f": {"$lt": 2**70}}]},
    }
    assert compiled(raw, casefold=False).exact


def test_widened_rows_hold_every_match_and_leave_the_rest_out(ask: Ask) -> None:
    where = compiled({"n": 1, "a": {"$startsWithi": "x"}}, casefold=False)
    assert "instr" in where.sql
    documents = [{"n": 1, "a": "Xy"}, {"n": 1, "a": "y"}, {"n": 2, "a": "Xy"}, {"n": 1}]
    assert ask(documents, {"n": 1, "a": {"$startsWithi": "x"}}) == [0]
    assert ask(documents, {"n": 1, "$not": {"a": {"$startsWithi": "x"}}}) == [1]


def test_nothing_of_the_client_is_in_the_sql() -> None:
    raw = {
        "hostile'name": "hostile'text",
        "hostile.b": {"$in": ["hostile", 987654321], "$containsi": "hostile", "$gt": 987654321},
        "hostile": {"$between": [987654321, {"__type": "bigint", "value": "987654321" * 9}]},
    }
    where = compiled(raw)
    assert "hostile" not in where.sql
    assert "987654321" not in where.sql
    assert where.sql.count("?") == len(where.args)
    assert where == compiled(raw)


def test_empty_filter_is_a_constant() -> None:
    assert compiled({}) == ("1", (), True)
    assert compiled({"$not": {}}) == ("0", (), True)
    assert compiled({"$and": [{}, {"a": None}]}).sql == "json_extract(value, ?) IS NULL"


@pytest.mark.slow
def test_the_largest_filters_run(ask: Ask) -> None:
    documents = [{"n": n, "s": str(n)} for n in range(3)]
    assert ask(documents, {"$or": [{"n": {"$gt": 1000 + n}} for n in range(999)] + [{"n": 1}]}) == [
        1
    ]
    assert ask(documents, {"$and": [{"s": {"$contains": "1"}}] * 1000}) == [1]
    assert ask(documents, {"n": {"$in": list(range(1, 1001))}}) == [1, 2]
    wide = {"s": {"$nin": [str(n) for n in range(2, 1002)]}}
    assert ask(documents, {"$and": [wide] * 10}) == [0, 1]
    deep: dict[str, object] = {"n": 1}
    for _ in range(20):
        deep = {"$or": [*({"n": 77} for _ in range(48)), deep]}
    assert ask(documents, deep) == [1]


@pytest.mark.parametrize("column", ["value", "key", "entries.value", "document", "s", "o", "type"])
def test_any_column_name_works(column: str) -> None:
    import apsw

    name = column.split(".")[-1]
    connection = apsw.Connection(":memory:")
    connection.execute(f"CREATE TABLE entries ({name} TEXT)")
    stored = '{"a":["x"],"b":{"__type":"bigint","value":"5"}}'
    connection.execute("INSERT INTO entries VALUES (?)", (stored,))
    for raw in ({"a": {"$contains": "x"}}, {"b": {"$lt": 6}}, {"b": {"$in": list(range(40))}}):
        sql, args, _ = compiled(raw, casefold=False, column=column)
        assert len(connection.execute(f"SELECT 1 FROM entries WHERE {sql}", args).fetchall()) == 1
