"""The tree that a filter comes down to: nothing in it is negated, and nothing has to be known."""

from __future__ import annotations

import pytest
from buntime_plugin_keyval.model.where import parse_where
from buntime_plugin_keyval.storage.filters.compile import compile_where
from buntime_plugin_keyval.storage.filters.tree import (
    Absent,
    Condition,
    Equal,
    Every,
    HasText,
    Some,
    Within,
)

A = ("a",)
B = ("b",)


@pytest.mark.parametrize(
    ("where", "tree"),
    [
        ({}, Every(())),
        ({"$not": {}}, Some(())),
        ({"a": 1}, Equal(A, (1,), True)),
        ({"a": {"$ne": 1}}, Equal(A, (1,), False)),
        ({"a": {"$in": [1, None]}}, Equal(A, (1, None), True)),
        ({"$not": {"a": {"$nin": ["x"]}}}, Equal(A, ("x",), True)),
        ({"a": {"$between": [1, 2]}}, Within(A, (("$gte", 1), ("$lte", 2)), True)),
        ({"a": {"$gt": {"$now": True}}}, Within(A, (("$gt", 77),), True)),
        ({"a": {"$null": False}}, Absent(A, False, False)),
        ({"$not": {"a": {"$empty": False}}}, Absent(A, True, True)),
        ({"a": {"$notEmpty": True}}, Absent(A, True, False)),
        ({"a": {"$containsi": "x"}}, HasText(A, "$contains", "x", True, True)),
        ({"a": {"$notContains": "x"}}, HasText(A, "$contains", "x", False, False)),
        ({"a": {"$endsWithi": "x"}}, HasText(A, "$endsWith", "x", True, True)),
        (
            {"$not": {"$or": [{"a": 1}, {"$not": {"b": {"$startsWith": "x"}}}]}},
            Every((Equal(A, (1,), False), HasText(B, "$startsWith", "x", False, True))),
        ),
        (
            {"$not": {"$and": [{"a": 1}, {"b": 2}]}},
            Some((Equal(A, (1,), False), Equal(B, (2,), False))),
        ),
    ],
)
def test_a_filter_becomes_a_tree(where: object, tree: Condition) -> None:
    assert compile_where(parse_where(where), 77) == tree
