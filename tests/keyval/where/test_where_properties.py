"""The SQL and the plain Python evaluator decide the same, whatever the documents and filters."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TypeAlias

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sampling import share_of

pytestmark = pytest.mark.slow

Ask: TypeAlias = Callable[[Sequence[object], object], list[int]]

NAMES = [
    "a", "b", "a.b", "a b", "[0]", "#", "", '"', 'a"b', "\\", "a\\b", '\\"', "\\u0061", "$", "$gt",
    "\n", "\x01", "\x7f", "é", "e\u0301", "😀", "\u2028", "value", "__type", "null",
]  # fmt: skip
TEXTS = [
    "", "a", "A", "ab", "ba", "aB", "a\x00b", "\x00", "b\x00", "%", "_", "\\", "\\u0061", '"', "[]",
    "{}", '["a"]', '{"a":1}', "null", "true", "1", "1.5", "ÁGUA", "água", "straße", "STRASSE", "ß",
    "İ", "i̇", "ſ", "K", "😀", "a😀", "\uffff", "\U0010ffff", "{", "|", "zz",
    '{"__type":"bigint","value":"5"}',
]  # fmt: skip
NUMBERS: list[int | float] = [
    0, 1, -1, 2, 5, -5, 10, 100, 0.5, -0.5, 1.5, 5.5, -5.5, -0.0, 1e-7, 5e-324, 1e15, 1e16, 1e22,
    1e300, -1e300, 1.7976931348623157e308, 2**53 - 1, 2**53, 2**53 + 1, -(2**53) - 1, 2**62 + 1,
    2**63 - 1, 2**63 - 512, 2**63, 2**63 + 1, -(2**63), -(2**63) - 1, 2**64, 2**64 + 1,
    1_699_999_999_999, 1_700_000_000_000, 1_700_000_000_000.5,
]  # fmt: skip

texts = st.sampled_from(TEXTS) | st.text(max_size=4)
integers = st.sampled_from([n for n in NUMBERS if isinstance(n, int)]) | st.integers(
    -(2**70), 2**70
)
numbers = (
    st.sampled_from(NUMBERS)
    | st.integers(-12, 12)
    | st.integers(-(2**66), 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
)


def tagged(integer: int) -> dict[str, object]:
    """Return the JSON form of a bigint."""
    return {"__type": "bigint", "value": str(integer)}


def turned(integer: int) -> dict[str, object]:
    """Return the JSON form of a bigint with its members in the other order."""
    return {"value": str(integer), "__type": "bigint"}


bigints = integers.map(tagged)
near_bigints = st.sampled_from(
    ["", "-", "-0", "05", "5-5", "--5", "x", "1.5", "5\x00", 5, None]
).map(lambda value: {"__type": "bigint", "value": value}) | st.just(
    {"__type": "bigint", "value": "5", "more": 1}
)
scalars = st.none() | st.booleans() | texts | numbers
leaves = scalars | bigints | integers.map(turned) | near_bigints
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner | texts, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES), inner, max_size=3)
    ),
    max_leaves=5,
)
documents = st.lists(
    st.dictionaries(st.sampled_from(["a", "b"]), values, max_size=2)
    | st.dictionaries(st.sampled_from(NAMES), values, max_size=3)
    | values,
    min_size=1,
    max_size=8,
)


def field_path(steps: list[str | int]) -> str:
    """Write the steps down as a field path."""
    path = "$"
    for step in steps:
        if isinstance(step, int):
            path += f"[{step}]" if step >= 0 else f"[#{step}]"
        else:
            path += '."' + step.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return path


# SQLite ends a member name at a NUL, so names with one are no part of what is promised.
names = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)

paths = st.sampled_from(["a", "b", "a", "$", "a[0]", "a[#-1]", "a.b", "a.a", "b.value"]) | st.lists(
    st.sampled_from(NAMES) | st.integers(-3, 2), min_size=1, max_size=3
).map(field_path)

now = st.sampled_from(
    [{"$now": True}, {"$now": True, "$offset": -1}, {"$now": True, "offset": 0.5}]
)
ordered_numbers = numbers | bigints | now
operands = scalars | bigints | now
LOGICAL: Sequence[str] = ("$and", "$or")


def members(operator: str, operand: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    """Make the object of one operator and its operand."""
    return operand.map(lambda value: {operator: value})


conditions = st.one_of(
    *(members(name, operands) for name in ("$eq", "$ne")),
    *(members(name, texts | ordered_numbers) for name in ("$gt", "$gte", "$lt", "$lte")),
    members("$between", st.lists(ordered_numbers, min_size=2, max_size=2)),
    members("$between", st.lists(texts, min_size=2, max_size=2)),
    *(
        members(name, st.lists(operands, max_size=4) | st.lists(operands, min_size=17, max_size=20))
        for name in ("$in", "$nin")
    ),
    *(
        members(name + suffix, texts)
        for name in ("$contains", "$notContains", "$startsWith", "$endsWith")
        for suffix in ("", "i")
    ),
    *(members(name, st.booleans()) for name in ("$null", "$empty", "$notEmpty")),
    operands,
)
fields = st.tuples(paths, conditions).map(lambda pair: {pair[0]: pair[1]})
filters = st.recursive(
    fields,
    lambda inner: (
        st.tuples(st.sampled_from(LOGICAL), st.lists(inner, min_size=1, max_size=3)).map(
            lambda pair: {pair[0]: pair[1]}
        )
        | inner.map(lambda where: {"$not": where})
        | st.tuples(fields, inner).map(lambda pair: pair[0] | pair[1])
    ),
    max_leaves=5,
)

plenty = settings(max_examples=share_of(700), deadline=None, derandomize=True, database=None)


def as_received(value: object) -> object:
    """Return the value as it comes out of JSON, with no parts shared."""
    return json.loads(json.dumps(value))


@plenty
@given(documents, filters)
def test_sql_and_python_agree_on_any_filter(
    ask: Ask, documents: list[object], where: object
) -> None:
    ask(documents, as_received(where))


@plenty
@given(st.lists(numbers | bigints | integers.map(turned), min_size=1, max_size=8), conditions)
def test_sql_and_python_agree_on_numbers(
    ask: Ask, documents: list[object], condition: object
) -> None:
    ask(documents, {"$": as_received(condition)})


@plenty
@given(
    st.lists(texts | st.lists(texts, max_size=2), min_size=1, max_size=8), conditions, st.booleans()
)
def test_sql_and_python_agree_on_texts(
    ask: Ask, documents: list[object], condition: object, negate: bool
) -> None:
    where = {"x": as_received(condition)}
    ask([{"x": document} for document in documents], {"$not": where} if negate else where)


@settings(plenty, max_examples=share_of(300))
@given(st.dictionaries(names, leaves, min_size=1, max_size=3), st.data())
def test_any_member_name_can_be_addressed(
    ask: Ask, document: dict[str, object], data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(document)))
    assert ask([document], {field_path([name]): {"$null": document[name] is None}}) == [0]
