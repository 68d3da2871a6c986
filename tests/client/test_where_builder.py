"""The builder of filters."""

from __future__ import annotations

import pytest
from buntime_keyval import Condition, Field, Now

AGE, NAME = Field("age"), Field("name")


@pytest.mark.parametrize(
    ("built", "expected"),
    [
        (AGE == 18, {"age": {"$eq": 18}}),
        (AGE != 0, {"age": {"$ne": 0}}),
        (AGE > 18, {"age": {"$gt": 18}}),
        (AGE >= 18, {"age": {"$gte": 18}}),
        (AGE < 100, {"age": {"$lt": 100}}),
        (AGE <= 100, {"age": {"$lte": 100}}),
        (18 < AGE, {"age": {"$gt": 18}}),  # noqa: SIM300
        (AGE.between(1, 5), {"age": {"$between": [1, 5]}}),
        (NAME.is_in(("a", "b")), {"name": {"$in": ["a", "b"]}}),
        (NAME.not_in({"a"}), {"name": {"$nin": ["a"]}}),
        (NAME.contains("x"), {"name": {"$contains": "x"}}),
        (NAME.contains("x", ignore_case=True), {"name": {"$containsi": "x"}}),
        (NAME.not_contains("x"), {"name": {"$notContains": "x"}}),
        (NAME.not_contains("x", ignore_case=True), {"name": {"$notContainsi": "x"}}),
        (NAME.starts_with("x"), {"name": {"$startsWith": "x"}}),
        (NAME.starts_with("x", ignore_case=True), {"name": {"$startsWithi": "x"}}),
        (NAME.ends_with("x"), {"name": {"$endsWith": "x"}}),
        (NAME.ends_with("x", ignore_case=True), {"name": {"$endsWithi": "x"}}),
        (NAME.is_null(), {"name": {"$null": True}}),
        (NAME.is_empty(False), {"name": {"$empty": False}}),
        (~(AGE == 1), {"$not": {"age": {"$eq": 1}}}),
        ((AGE > 1) & (AGE < 5), {"$and": [{"age": {"$gt": 1}}, {"age": {"$lt": 5}}]}),
        ((AGE > 1) & {"a": 1} & (AGE < 5),
         {"$and": [{"age": {"$gt": 1}}, {"a": 1}, {"age": {"$lt": 5}}]}),
        ((AGE > 1) | {"a": 1, "b": 2}, {"$or": [{"age": {"$gt": 1}}, {"a": 1, "b": 2}]}),
        ({"a": 1} | (AGE > 1), {"$or": [{"a": 1}, {"age": {"$gt": 1}}]}),
        ({"a": 1} & (AGE > 1), {"$and": [{"a": 1}, {"age": {"$gt": 1}}]}),
        ((AGE > 1) & ((AGE == 2) | (AGE == 3)),
         {"$and": [{"age": {"$gt": 1}}, {"$or": [{"age": {"$eq": 2}}, {"age": {"$eq": 3}}]}]}),
    ],
)  # fmt: skip
def test_the_builder_builds_plain_filters(built: Condition, expected: object) -> None:
    assert dict(built) == expected


def test_a_chained_comparison_is_no_silent_half_filter() -> None:
    with pytest.raises(TypeError, match="between"):
        18 < AGE < 65  # noqa: B015
    with pytest.raises(TypeError):
        bool((AGE > 1) and (AGE < 2))


def test_now() -> None:
    assert Now() == {"$now": True}
    assert Now().add("1h").sub("30m") == {"$now": True, "$offset": 1_800_000}
    assert Now().add(5).sub(5) == Now()
    past = Now().sub("1.5s")
    assert (past > AGE) == {"age": {"$lt": {"$now": True, "$offset": -1500}}}
    assert repr(AGE) == "Field('age')"
