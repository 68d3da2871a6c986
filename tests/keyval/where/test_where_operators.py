"""Every operator against values of every type: which of them match, in SQL and in Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest

Ask: TypeAlias = Callable[[Sequence[object], object], list[int]]

NOW_MS = 1_700_000_000_000


class Exact(int):
    """An integer of a type of its own, as in-process callers pass bigints."""


def bigint(integer: int) -> dict[str, object]:
    """Return the JSON form of a bigint."""
    return {"__type": "bigint", "value": str(integer)}


MISSING = object()
VALUES: dict[str, object] = {
    "missing": MISSING,
    "null": None,
    "true": True,
    "false": False,
    "zero": 0,
    "one": 1,
    "five": 5,
    "half": 5.5,
    "bigfive": bigint(5),
    "empty": "",
    "text5": "5",
    "abc": "abc",
    "Abc": "ABC",
    "list": ["abc", 5],
    "nolist": [],
    "object": {"b": 1},
    "noobject": {},
}
DOCUMENTS = [{} if value is MISSING else {"v": value} for value in VALUES.values()]
PRESENT = " ".join(name for name in VALUES if name not in ("missing", "null"))


def names(positions: list[int]) -> str:
    """Return the names of the matching values."""
    return " ".join(list(VALUES)[position] for position in positions)


def without(*excluded: str) -> str:
    """Return the present values except some."""
    return " ".join(name for name in PRESENT.split() if name not in excluded)


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (5, "five bigfive"),
        (5.0, "five bigfive"),
        (bigint(5), "five bigfive"),
        (Exact(5), "five bigfive"),
        (5.5, "half"),
        (1, "one"),
        (0, "zero"),
        ("5", "text5"),
        ("", "empty"),
        ("[]", ""),
        ("{}", ""),
        ('{"b":1}', ""),
        (True, "true"),
        (False, "false"),
        (None, "missing null"),
        ({"$eq": "abc"}, "abc"),
        ({"$eq": None}, "missing null"),
        ({"$ne": 5}, without("five", "bigfive")),
        ({"$ne": True}, without("true")),
        ({"$ne": "abc"}, without("abc")),
        ({"$ne": "[]"}, PRESENT),
        ({"$ne": None}, PRESENT),
        ({"$gt": 1}, "five half bigfive"),
        ({"$gt": 5}, "half"),
        ({"$gte": 5}, "five half bigfive"),
        ({"$gte": 5.5}, "half"),
        ({"$lt": 5}, "zero one"),
        ({"$lt": 5.5}, "zero one five bigfive"),
        ({"$lte": 5}, "zero one five bigfive"),
        ({"$lte": 5.5}, "zero one five half bigfive"),
        ({"$gt": ""}, "text5 abc Abc"),
        ({"$gte": "abc"}, "abc"),
        ({"$lt": "abc"}, "empty text5 Abc"),
        ({"$lte": "ABC"}, "empty text5 Abc"),
        ({"$lt": "zzz"}, "empty text5 abc Abc"),
        ({"$between": [1, 5]}, "one five bigfive"),
        ({"$between": [5, 1]}, ""),
        ({"$between": ["5", "abc"]}, "text5 abc Abc"),
        ({"$gt": 0, "$lt": 5}, "one"),
        ({"$in": []}, ""),
        ({"$in": [5, "abc", True]}, "true five bigfive abc"),
        ({"$in": [None, 1]}, "missing null one"),
        ({"$in": [*range(2, 40), "x", "abc"]}, "five bigfive abc"),
        ({"$nin": []}, " ".join(VALUES)),
        ({"$nin": [5, "abc", True]}, without("five", "bigfive", "abc", "true")),
        ({"$nin": ["abc", "5"]}, without("abc", "text5")),
        ({"$nin": [None]}, PRESENT),
        ({"$nin": [None, 5]}, without("five", "bigfive")),
        ({"$contains": "b"}, "abc"),
        ({"$contains": "abc"}, "abc list"),
        ({"$contains": ""}, "empty text5 abc Abc"),
        ({"$contains": "5"}, "text5"),
        ({"$notContains": "abc"}, without("abc", "list")),
        ({"$containsi": "aBC"}, "abc Abc list"),
        ({"$notContainsi": "aBC"}, without("abc", "Abc", "list")),
        ({"$startsWith": "ab"}, "abc"),
        ({"$startsWith": ""}, "empty text5 abc Abc"),
        ({"$startsWithi": "aB"}, "abc Abc"),
        ({"$startsWithi": ""}, "empty text5 abc Abc"),
        ({"$endsWith": "bc"}, "abc"),
        ({"$endsWith": ""}, "empty text5 abc Abc"),
        ({"$endsWithi": "Bc"}, "abc Abc"),
        ({"$null": True}, "missing null"),
        ({"$null": False}, PRESENT),
        ({"$empty": True}, "missing null empty nolist"),
        ({"$empty": False}, without("empty", "nolist")),
        ({"$notEmpty": True}, without("empty", "nolist")),
        ({"$notEmpty": False}, "missing null empty nolist"),
    ],
    ids=str,
)
def test_operator_matches(ask: Ask, condition: object, expected: str) -> None:
    assert names(ask(DOCUMENTS, {"v": condition})) == expected


@pytest.mark.parametrize(
    ("inner", "expected"),
    [
        # Unknown stays unknown, a wrong type is false and its negation true.
        ({"v": 5}, without("five", "bigfive")),
        ({"v": {"$gt": 1}}, without("five", "half", "bigfive")),
        ({"v": {"$lt": "b"}}, without("empty", "text5", "abc", "Abc")),
        ({"v": {"$contains": "abc"}}, without("abc", "list")),
        ({"v": {"$notContains": "abc"}}, "abc list"),
        ({"v": {"$containsi": "abc"}}, without("abc", "Abc", "list")),
        ({"v": {"$startsWith": "a"}}, without("abc")),
        # These are never unknown.
        ({"v": None}, PRESENT),
        ({"v": {"$ne": None}}, "missing null"),
        ({"v": {"$null": True}}, PRESENT),
        ({"v": {"$empty": True}}, without("empty", "nolist")),
        ({"v": {"$in": []}}, " ".join(VALUES)),
        ({"v": {"$nin": []}}, ""),
        ({"v": {"$in": [None, 5]}}, without("five", "bigfive")),
        ({}, ""),
        # False AND unknown is false, true OR unknown is true.
        ({"v": 5, "w": 1}, without("five", "bigfive")),
        ({"w": 1, "$or": [{"v": None}]}, PRESENT),
        ({"$or": [{"w": 1}, {"v": 5}]}, ""),
        ({"$not": {"v": 5}}, "five bigfive"),
        ({"$not": {"$not": {"v": 5}}}, without("five", "bigfive")),
    ],
    ids=str,
)
def test_not_follows_three_valued_logic(ask: Ask, inner: object, expected: str) -> None:
    assert names(ask(DOCUMENTS, {"$not": inner})) == expected


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({}, " ".join(VALUES)),
        ({"$and": []}, " ".join(VALUES)),
        ({"$and": [{"v": {"$gt": 0}}, {"v": {"$lt": 5.5}}]}, "one five bigfive"),
        ({"$or": [{"v": 0}, {"v": "abc"}]}, "zero abc"),
        ({"$or": [{"v": 0}, {}]}, " ".join(VALUES)),
        ({"$and": [{"$or": [{"v": 0}, {"v": 5}]}, {"$not": {"v": 0}}]}, "five bigfive"),
        ({"v": {"$gt": 0}, "$or": [{"v": 1}, {"v": 5}]}, "one five bigfive"),
    ],
    ids=str,
)
def test_logic(ask: Ask, where: object, expected: str) -> None:
    assert names(ask(DOCUMENTS, where)) == expected


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("a", {"a": 7}),
        ("$.a", {"a": 7}),
        ("a.b.c", {"a": {"b": {"c": 7}}}),
        ("a[0].b", {"a": [{"b": 7}]}),
        ("a[#-1]", {"a": [1, 7]}),
        ("$[1][0]", [0, [7]]),
        ("[1]", [0, 7]),
        ('"a.b".c', {"a.b": {"c": 7}}),
        ('a."[x]"', {"a": {"[x]": 7}}),
        ('""', {"": 7}),
        ('"a\\"b\\\\c"', {'a"b\\c': 7}),
        ('a"b', {'a"b': 7}),
        ("a\\b", {"a\\b": 7}),
        ("a\\u0062", {"a\\u0062": 7}),
        ('"$gt"', {"$gt": 7}),
        ("$.$gt", {"$gt": 7}),
        ("a b", {"a b": 7}),
        ("ÁGUA.😀", {"ÁGUA": {"😀": 7}}),
        ("a\tb", {"a\tb": 7}),
        ("0", {"0": 7}),
        ("a.value", {"a": bigint(7)}),
    ],
)
def test_path_finds_the_value(ask: Ask, path: str, document: object) -> None:
    wanted = "7" if path == "a.value" else 7
    other = {"other": 7}
    assert ask([document, other], {path: wanted}) == [0]
    assert ask([document, other], {path: {"$ne": wanted}}) == []
    assert ask([document, other], {path: {"$null": True}}) == [1]


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("a.b", {"a": 7}),
        ("a.b", {"a": [7]}),
        ("a[0]", {"a": {"0": 7}}),
        ("a[0]", {"a": "7"}),
        ("a[1]", {"a": [7]}),
        ("a[#-2]", {"a": [7]}),
        ("a[999999999]", {"a": [7]}),
        ("a.0", {"a": [7]}),
        ("A", {"a": 7}),
    ],
)
def test_path_across_something_else_is_missing(ask: Ask, path: str, document: object) -> None:
    assert ask([document], {path: None}) == [0]
    assert ask([document], {"$not": {path: 7}}) == []


NUMBERS: list[object] = [
    *(-(2**63), 2**63 - 1, 2**53, 2**53 + 1),
    *(2.0**53, 2.0**63, 1e300, 2**63),
    *(bigint(2**53 + 1), bigint(2**63), bigint(2**63 + 1), bigint(-(10**40)), bigint(10**40)),
]


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (2**53, [2, 4]),
        (2**53 + 1, [3, 8]),
        (2**63 - 1, [1]),
        (bigint(2**63), [5, 7, 9]),
        (Exact(2**63), [5, 7, 9]),
        (bigint(2**63 + 1), [10]),
        (2**63 + 1, [5, 7, 9]),  # a plain number of that size is a double, as in stored values
        (2.0**63, [5, 7, 9]),
        ({"$gt": 2**63 - 1}, [5, 6, 7, 9, 10, 12]),
        ({"$gt": bigint(2**63)}, [6, 10, 12]),
        ({"$gte": bigint(2**63 + 1)}, [6, 10, 12]),
        ({"$gt": bigint(10**39)}, [6, 12]),
        ({"$lte": bigint(2**63)}, [0, 1, 2, 3, 4, 5, 7, 8, 9, 11]),
        ({"$lt": bigint(2**63 + 1)}, [0, 1, 2, 3, 4, 5, 7, 8, 9, 11]),
        ({"$lt": -(2**63)}, [11]),
        ({"$lte": -(2**63)}, [0, 11]),
        ({"$lt": bigint(-(10**40))}, []),
        ({"$gte": bigint(-(10**40)), "$lt": 0}, [0, 11]),
        ({"$gt": bigint(10**400)}, []),
        ({"$lt": bigint(-(10**400))}, []),
        ({"$between": [bigint(2**53 + 1), bigint(2**63)]}, [1, 3, 5, 7, 8, 9]),
        ({"$in": [bigint(10**40), 2**53]}, [2, 4, 12]),
    ],
    ids=str,
)
def test_large_numbers_compare_exactly(ask: Ask, condition: object, expected: list[int]) -> None:
    assert ask(NUMBERS, {"$": condition}) == expected


def test_dollar_is_the_whole_value(ask: Ask) -> None:
    documents = [7, {"$": 7}, [7], "7", None]
    assert ask(documents, {"$": 7}) == [0]
    assert ask(documents, {"$": {"$ne": 7}}) == [1, 2, 3]
    assert ask(documents, {"$": None}) == [4]


def test_integers_beyond_every_double_count_as_infinite(ask: Ask) -> None:
    documents = [10**400, -(10**400), bigint(10**400), bigint(-(10**400)), 1.7976931348623157e308]
    assert ask(documents, {"$": {"$gt": 1.7976931348623157e308}}) == [0, 2]
    assert ask(documents, {"$": {"$lte": 1.7976931348623157e308}}) == [1, 3, 4]
    assert ask(documents, {"$": {"$gte": bigint(10**400)}}) == [0, 2]
    assert ask(documents, {"$": {"$lt": bigint(10**400)}}) == [1, 3, 4]
    assert ask(documents, {"$": {"$lte": bigint(-(10**400))}}) == [1, 3]
    assert ask(documents, {"$": {"$gt": bigint(-(10**400))}}) == [0, 2, 4]
    assert ask(documents, {"$": bigint(10**400)}) == [2]


def test_null_characters_do_not_end_a_string(ask: Ask) -> None:
    documents = ["a\0b", "a", "a\0c", "b"]
    assert ask(documents, {"$": "a\0b"}) == [0]
    assert ask(documents, {"$": {"$contains": "\0c"}}) == [2]
    assert ask(documents, {"$": {"$startsWith": "a\0"}}) == [0, 2]
    assert ask(documents, {"$": {"$endsWith": "b"}}) == [0, 3]
    assert ask(documents, {"$": {"$endsWithi": "\0B"}}) == [0]
    assert ask(documents, {"$": {"$gt": "a\0b"}}) == [2, 3]


def test_case_folds_beyond_ascii(ask: Ask) -> None:
    documents = ["ÁGUA", "Straße", ["STRASSE"], "50%", "a_b", "😀x"]
    assert ask(documents, {"$": {"$containsi": "água"}}) == [0]
    assert ask(documents, {"$": {"$containsi": "strasse"}}) == [1, 2]
    assert ask(documents, {"$": {"$endsWithi": "SSE"}}) == [1]
    assert ask(documents, {"$": {"$containsi": "%"}}) == [3]
    assert ask(documents, {"$": {"$containsi": "_"}}) == [4]
    assert ask(documents, {"$": {"$startsWith": "😀"}}) == [5]
    assert ask(documents, {"$": {"$notContainsi": "s"}}) == [0, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("operand", "expected"),
    [
        ({"$lt": {"$now": True}}, [0]),
        ({"$lte": {"$now": True}}, [0, 1]),
        ({"$now": True}, [1]),
        ({"$gt": {"$now": True, "$offset": 500}}, [2]),
        ({"$gt": {"$now": True, "offset": -2000}}, [0, 1, 2]),
        ({"$gte": {"$now": True, "offset": 9000, "$offset": 1000}}, [2]),
        ({"$between": [{"$now": True, "$offset": -1000}, {"$now": True}]}, [0, 1]),
        ({"$in": [{"$now": True, "$offset": 1000}, 5]}, [2]),
        ({"$ne": {"$now": True}}, [0, 2]),
    ],
    ids=str,
)
def test_now_is_resolved_when_the_filter_runs(
    ask: Ask, operand: object, expected: list[int]
) -> None:
    documents = [{"at": NOW_MS - 1000}, {"at": NOW_MS}, {"at": NOW_MS + 1000}]
    assert ask(documents, {"at": operand}) == expected
