"""From a parsed filter to the tree that a dialect prints.

The three-valued logic is not left to SQL. Each node is compiled for the answer that is wanted:
"is true" or "is false". `$not` only swaps the wanted answer, `$and` and `$or` change places with
it (De Morgan), so no SQL NOT stands above a condition. That has three uses: a condition need not
tell false from unknown, which makes it cheap; a test that merely narrows the rows can go in
front of it; and a condition that no engine function can express exactly is widened on the spot,
also below `$not`, with no effect on its neighbours.
"""

from __future__ import annotations

from buntime_plugin_keyval.model.where.nodes import And, Comparison, Not, Where, resolve
from buntime_plugin_keyval.storage.filters import tree

_NEGATIONS = {
    "$ne": "$eq",
    "$nin": "$in",
    "$notContains": "$contains",
    "$notContainsi": "$containsi",
    "$notEmpty": "$empty",
}
"""Operators that are exactly the three-valued negation of another one."""


def compile_where(where: Where, now_ms: int) -> tree.Condition:
    """What holds for the values that a filter is true of, at that time on the wall."""
    return _compile(where, now_ms, True)


def _compile(where: Where, now_ms: int, wanted: bool) -> tree.Condition:
    if isinstance(where, Comparison):
        return _leaf(where, now_ms, wanted)
    if isinstance(where, Not):
        return _compile(where.member, now_ms, not wanted)
    members = tuple([_compile(member, now_ms, wanted) for member in where.members])
    return tree.Every(members) if isinstance(where, And) == wanted else tree.Some(members)


def _leaf(comparison: Comparison, now_ms: int, wanted: bool) -> tree.Leaf:
    path, operator, operand = comparison.path, comparison.operator, comparison.operand
    if operator in _NEGATIONS:
        operator, wanted = _NEGATIONS[operator], not wanted
    if isinstance(operand, tuple):
        values = tuple([resolve(element, now_ms) for element in operand])
        if operator == "$between":
            return tree.Within(path, (("$gte", values[0]), ("$lte", values[1])), wanted)
        return tree.Equal(path, values, wanted)
    value = resolve(operand, now_ms)
    match operator:
        case "$eq":
            return tree.Equal(path, (value,), wanted)
        case "$null" | "$empty":
            return tree.Absent(path, operator == "$empty", wanted is value)
        case "$gt" | "$gte" | "$lt" | "$lte":
            return tree.Within(path, ((operator, value),), wanted)
        case "$contains" | "$startsWith" | "$endsWith":
            return tree.HasText(path, operator, str(value), False, wanted)
        case "$containsi":
            return tree.HasText(path, "$contains", str(value), True, wanted)
        case "$startsWithi":
            return tree.HasText(path, "$startsWith", str(value), True, wanted)
        case "$endsWithi":
            return tree.HasText(path, "$endsWith", str(value), True, wanted)
    raise AssertionError(operator)  # the parser knows no other
