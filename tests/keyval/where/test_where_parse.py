"""What a filter may look like, and what the client reads when it does not."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_plugin_keyval.model.where import InvalidWhere, parse_where
from buntime_plugin_keyval.model.where.nodes import And, Comparison, Not, NowOperand, Or

BIGINT = {"__type": "bigint", "value": "5"}


def nested(levels: int) -> dict[str, Any]:
    """Return a filter inside that many `$not`."""
    where: dict[str, Any] = {"a": 1}
    for _ in range(levels):
        where = {"$not": where}
    return where


class Exact(int):
    """An integer of a type of its own, as in-process callers pass bigints."""


BIG = Exact(10**10_000)
"""Too long to be written in an error, or in the name of a test."""


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"a": {"$foo": 1}}, "Unknown operator: $foo"),
        ({"a": {"$eq": 1, "$foo": 1}}, "Unknown operator: $foo"),
        ({"a": {"$not": {"$eq": 1}}}, "Unknown operator: $not"),
        ({"$nor": []}, "Unknown operator: $nor"),
        ({"$eq": 1}, "Unknown operator: $eq"),
        ({"$name": 1}, "Unknown operator: $name"),
        ({"a": {"b": 1}}, "Nested objects are not supported, use dot notation"),
        ({"a": {"$eq": 1, "b": 1}}, "Nested objects are not supported, use dot notation"),
        ({"a": {}}, "Nested objects are not supported, use dot notation"),
        ({"a": {"offset": 5}}, "Nested objects are not supported, use dot notation"),
        ([], "where expects an object of conditions"),
        (None, "where expects an object of conditions"),
        ({"$and": {}}, "$and expects an array of filters"),
        ({"$or": {"a": 1}}, "$or expects an array of filters"),
        ({"$or": []}, "$or expects at least one filter"),
        ({"$and": [1]}, "$and member expects an object of conditions"),
        ({"$not": [{"a": 1}]}, "$not expects an object of conditions"),
        ({1: 1}, "Invalid field path: 1 is not a string"),
        ({"a": [1]}, "a expects a string, number, boolean, null, bigint or $now, not an array"),
        ({"a": {"$eq": {}}}, "$eq expects a string, number, boolean, null, bigint or $now"),
        ({"a": b"x"}, "a expects a string, number, boolean, null, bigint or $now, not bytes"),
        ({"a": {"$in": "x"}}, "$in expects an array, not a string"),
        ({"a": {"$nin": {"b": 1}}}, "$nin expects an array, not an object"),
        ({"a": {"$in": [[1]]}}, "$in expects a string, number"),
        ({"a": {"$in": [1] * 1001}}, "$in takes at most 1000 elements"),
        ({"a": {"$gt": None}}, "$gt expects a number, string or $now, not null"),
        ({"a": {"$lte": True}}, "$lte expects a number, string or $now, not a boolean"),
        ({"a": {"$lt": [1]}}, "$lt expects a string, number"),
        ({"a": {"$between": [1]}}, "$between expects an array of two: [min, max]"),
        ({"a": {"$between": 1}}, "$between expects an array of two: [min, max]"),
        ({"a": {"$between": [1, "b"]}}, "$between expects two numbers or two strings"),
        ({"a": {"$between": [1, None]}}, "$between expects a number, string or $now, not null"),
        ({"a": {"$contains": 1}}, "$contains expects a string, not a number"),
        ({"a": {"$notContainsi": ["x"]}}, "$notContainsi expects a string, not an array"),
        ({"a": {"$startsWith": None}}, "$startsWith expects a string, not null"),
        ({"a": {"$null": 1}}, "$null expects true or false, not a number"),
        ({"a": {"$empty": "true"}}, "$empty expects true or false, not a string"),
        ({"a": {"$notEmpty": None}}, "$notEmpty expects true or false, not null"),
        ({"a": {"$now": False}}, "$now expects true"),
        ({"a": {"$now": True, "$gt": 1}}, "$now stands alone or with $offset, not with $gt"),
        ({"a": {"$now": True, "$offset": "1h"}}, "$offset expects a number of milliseconds"),
        ({"a": {"$now": True, "offset": True}}, "$offset expects a number of milliseconds"),
        ({"a": {"__type": "bigint"}}, "A bigint is written"),
        ({"a": {"__type": "bigint", "value": 5}}, "A bigint is written"),
        ({"a": {"__type": "bigint", "value": "5x"}}, "A bigint is written"),
        ({"a": {"$gt": {"__type": "bigint", "value": "٥"}}}, "A bigint is written"),
        ({"a": BIGINT | {"more": 1}}, "A bigint is written"),
        ({"a": BIGINT | {"value": "1" * 10_001}}, "A bigint has at most 10000 digits"),
        ({"a": BIG}, "A bigint has at most 10000 digits"),
        ({"a": {"$in": [BIGINT | {"value": "1" * 9000}] * 4}}, "where has too many long bigints"),
        ({"$or": [{"a": {"$in": [1] * 1000}}] * 11}, "where has more than 10000 elements"),
        ({"$and": [{}] * 1001}, "where has more than 1000 conditions"),
        ({"$or": [{"$not": {"$and": []}}] * 1001}, "where has more than 1000 conditions"),
        ({"a": float("nan")}, "a expects a finite number"),
        ({"a": {"$gt": float("inf")}}, "$gt expects a finite number"),
        ({"a": 10**400}, "a expects a finite number; larger ones are sent as bigint"),
        ({"a": "\ud800"}, "a has a string with a lone surrogate"),
        ({"\ud800": 1}, "Invalid field path: it contains a lone surrogate"),
        ({"a\0b": 1}, "Invalid field path: it contains a NUL character"),
        ({"a" * 1025: 1}, "Invalid field path: aaa"),
        (nested(21), "where is nested more than 20 levels deep"),
        ({"$and": [{"a": 1}] * 1001}, "where has more than 1000 conditions"),
    ],
    ids=lambda value: "huge" if value == {"a": BIG} else ascii(value)[:60],
)
def test_wrong_filter_is_refused_with_a_reason(raw: object, message: str) -> None:
    with pytest.raises(InvalidWhere) as caught:
        parse_where(raw)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "$.",
            "$..a",
            "$[",
            "a[",
            "a]",
            "a[]",
            "a[x]",
            "a[-1]",
            "a[1",
        ),
        *(
            "a[#]",
            "a[#-0]",
            "a[#-x]",
            "a[1]b",
            "[1]b",
            'a."b',
            '"a',
            '"a"b',
            "a[1000000000]",
            "[#+1]",
        ),
        *("a[0]'", "a[1].", "a[ 1]", "a[١]", "$.a[", '"a\\"'),
    ],
)
def test_wrong_path_is_refused(path: str) -> None:
    with pytest.raises(InvalidWhere, match=r"^Invalid field path: "):
        parse_where({path: 1})


def test_limits_are_inclusive() -> None:
    parse_where(nested(20))
    parse_where({"$and": [{"a": 1}] * 1000})
    parse_where({"a": {"$in": [1] * 1000}})
    parse_where({"a" * 1024: 1})
    parse_where({"a": BIGINT | {"value": "1" * 4000}})


def test_nodes_are_what_was_said() -> None:
    where = parse_where({"a.b[0]": {"$gt": 5.0}, "$not": {"$or": [{"c": {"$now": True}}, {}]}})
    assert where == And(
        (
            Comparison(("a", "b", 0), "$gt", 5),
            Not(Or((Comparison(("c",), "$eq", NowOperand(0)), And(())))),
        )
    )
    assert isinstance(hash(where), int)


@pytest.mark.parametrize(
    ("raw", "operand"),
    [
        (BIGINT, 5),
        ({"__type": "bigint", "value": "-0"}, 0),
        ({"__type": "bigint", "value": str(2**70)}, 2**70),
        (Exact(2**70), 2**70),
        (2**70, 2.0**70),
        (2**63 - 1, 2**63 - 1),
        (5.0, 5),
        ({"$now": True, "$offset": -5.0}, NowOperand(-5)),
        ({"$now": True, "offset": 7}, NowOperand(7)),
        ({"$now": True, "offset": 7, "$offset": 1}, NowOperand(1)),
    ],
    ids=str,
)
def test_scalar_operand(raw: object, operand: object) -> None:
    where = parse_where({"a": raw})
    assert isinstance(where, Comparison)
    assert where.operator == "$eq"
    assert where.operand == operand
    assert type(where.operand) is type(operand)
