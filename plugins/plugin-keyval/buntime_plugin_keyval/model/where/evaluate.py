"""A filter decided in Python, for one decoded value.

It re-checks rows where SQL can only narrow the choice, and it states the rules plainly, for tests
to compare the SQL with. So it shares nothing with the SQL but the nodes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple, TypeAlias

from buntime_plugin_keyval.model.where.nodes import (
    INT64_MAX,
    INT64_MIN,
    And,
    Comparison,
    Not,
    Path,
    Where,
    resolve,
)

_CANONICAL = re.compile(r"0|-?[1-9][0-9]*", re.ASCII)

Truth: TypeAlias = bool | None
"""Three values: None is unknown."""


def matches(where: Where, value: object, *, now_ms: int) -> bool:
    """Say whether the decoded JSON value matches; unknown is no match."""
    return _truth(where, _Asked(value, now_ms, {})) is True


class _Asked(NamedTuple):
    """The value and time that a filter is evaluated for."""

    value: object
    now_ms: int
    folded: dict[int, object]
    """Case-folded texts by the id of the original, so that each is folded once."""


def _truth(where: Where, asked: _Asked) -> Truth:
    if isinstance(where, Comparison):
        return _condition(where, asked)
    if isinstance(where, Not):
        inner = _truth(where.member, asked)
        return None if inner is None else not inner
    truths = (_truth(member, asked) for member in where.members)
    return _all(truths) if isinstance(where, And) else _any(truths)


def _all(truths: Iterable[Truth]) -> Truth:
    answer: Truth = True
    for truth in truths:
        if truth is False:
            return False
        answer = answer if truth else None
    return answer


def _any(truths: Iterable[Truth]) -> Truth:
    answer: Truth = False
    for truth in truths:
        if truth:
            return True
        answer = answer if truth is False else None
    return answer


def _condition(condition: Comparison, asked: _Asked) -> Truth:
    found = _find(asked.value, condition.path)
    now_ms = asked.now_ms
    operator = condition.operator
    operand = condition.operand
    if isinstance(operand, tuple):
        operands = [resolve(element, now_ms) for element in operand]
        if operator == "$between":
            return _all(
                [_compare("$gte", found, operands[0]), _compare("$lte", found, operands[1])]
            )
        if operator == "$in":
            return _any([_compare("$eq", found, element) for element in operands])
        return _all([_compare("$ne", found, element) for element in operands])
    scalar = resolve(operand, now_ms)
    if operator == "$null":
        return (found is None) is scalar
    if operator == "$empty":
        return _is_empty(found) is scalar
    if operator == "$notEmpty":
        return _is_empty(found) is not scalar
    if operator.endswith("i") and isinstance(scalar, str):
        if id(found) not in asked.folded:
            asked.folded[id(found)] = _casefold(found)
        return _compare(operator[:-1], asked.folded[id(found)], scalar.casefold())
    return _compare(operator, found, scalar)


def _find(value: object, path: Path) -> object:
    """Return the value at the path; missing is the same as null."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        elif isinstance(value, list) and -len(value) <= step < len(value):
            value = value[step]
        else:
            value = None
    return value


def _is_empty(found: object) -> bool:
    return found is None or found == "" or found == []


def _compare(operator: str, found: object, scalar: object) -> Truth:
    if scalar is None:
        # Null is a value one can ask for, so here the answer is never unknown.
        return (found is None) is (operator == "$eq")
    if found is None:
        return None
    if operator == "$eq":
        return _equal(found, scalar)
    if operator == "$ne":
        return not _equal(found, scalar)
    if operator in ("$gt", "$gte", "$lt", "$lte"):
        return _ordered(operator, found, scalar)
    assert isinstance(scalar, str)  # noqa: S101 - the parser lets nothing else through
    return _text(operator, found, scalar)


def _equal(found: object, scalar: object) -> bool:
    if isinstance(found, bool) or isinstance(scalar, bool):
        return found is scalar
    if isinstance(scalar, str):
        return isinstance(found, str) and found == scalar
    return _number(found) == scalar


def _ordered(operator: str, found: object, scalar: object) -> bool:
    if isinstance(scalar, str):
        # Python orders strings by code points, which is the order of their UTF-8 bytes.
        order = (found > scalar) - (found < scalar) if isinstance(found, str) else None
    else:
        number = _number(found)
        # The filter was checked: here a value that is not text is a number.
        order = None if number is None else (number > scalar) - (number < scalar)  # type: ignore[operator] # both of one kind
    if order is None:
        return False
    return {"$gt": order > 0, "$gte": order >= 0, "$lt": order < 0, "$lte": order <= 0}[operator]


def _number(found: object) -> int | float | Decimal | None:
    """Return a stored number as it counts in comparisons, None for any other type."""
    if isinstance(found, bool):
        return None
    if isinstance(found, int):
        # A plain integer outside 64 bits is a double to SQLite; a bigint stays exact.
        if type(found) is not int or INT64_MIN <= found <= INT64_MAX:
            return found
        try:
            return float(found)
        except OverflowError:
            return math.inf if found > 0 else -math.inf
    if isinstance(found, float):
        return found
    if isinstance(found, dict) and found.keys() == {"__type", "value"}:
        text = found["value"]
        if found["__type"] == "bigint" and isinstance(text, str) and _CANONICAL.fullmatch(text):
            return Decimal(text)  # exact, and without int()'s limit on the number of digits
    return None


def _text(operator: str, found: object, scalar: str) -> bool:
    if operator == "$startsWith":
        return isinstance(found, str) and found.startswith(scalar)
    if operator == "$endsWith":
        return isinstance(found, str) and found.endswith(scalar)
    contains = isinstance(found, str | list) and scalar in found
    return contains if operator == "$contains" else not contains


def _casefold(found: object) -> object:
    if isinstance(found, list):
        return [element.casefold() if isinstance(element, str) else element for element in found]
    return found.casefold() if isinstance(found, str) else found
