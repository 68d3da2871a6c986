"""One leaf of a filter as SQL over a value as `jsonb`.

Every leaf looks once at the value at its path, `v`. That is SQL NULL for a missing value, and
JSON's null for a null, which mean the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from buntime_plugin_keyval.model.where.nodes import Path
from buntime_plugin_keyval.storage.dialects.filters import Printed
from buntime_plugin_keyval.storage.dialects.postgres.filters.fragments import (
    EVERY,
    NONE,
    NULL,
    joined,
)
from buntime_plugin_keyval.storage.dialects.postgres.filters.numbers import is_number, number_test
from buntime_plugin_keyval.storage.filters import tree

_SIGNS: dict[tree.Sign, str] = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_GREATEST_ELEMENT = 2**31 - 1

_IS_TEXT = "jsonb_typeof(v) = 'string'"
_TEXT = """(v #>> '{}') COLLATE "C\""""

_SPECIAL = frozenset("\0\x01\x02")
"""A text with one of these may be found in the middle of what stands for another: see `escaped`."""


def leaf_sql(leaf: tree.Leaf) -> Printed:
    """SQL that is true exactly where the leaf holds, over the value `d`.

    Elsewhere the SQL is false or NULL. Where the engine cannot decide, the SQL is too wide, and
    marked so.
    """
    match leaf:
        case tree.Equal():
            found = _equal(leaf.values, leaf.wanted)
        case tree.Within():
            found = _within(leaf.bounds, leaf.wanted)
        case tree.Absent():
            found = _absent(leaf.or_empty, leaf.wanted)
        case tree.HasText():
            found = _text(leaf)
    if found in (EVERY, NONE):
        return found
    place, names = _place(leaf.path)
    sql = f"(SELECT {found.sql} FROM (SELECT {place} AS v OFFSET 0) AS at_path)"
    return Printed(sql, (*found.args, *names), found.exact)


def escaped(text: str) -> str:
    """A text as it stands in what `kv_json` makes of a value: see the first migration."""
    return text.replace("\x01", "\x01\x02").replace("\0", "\x01\x01")


def _place(path: Path) -> tuple[str, list[str]]:
    """SQL of the value at a path in `d`, with its arguments."""
    place = "d"
    names: list[str] = []
    for step in path:
        if isinstance(step, str):
            place = f"({place} -> ?::text)"
            names.append(escaped(step))
        elif abs(step) > _GREATEST_ELEMENT:
            return "NULL::jsonb", []
        else:
            # A value that is no array would be taken for one with a single element.
            is_array = "WHERE jsonb_typeof(a) = 'array'"
            place = f"(SELECT a -> {step} FROM (SELECT {place} AS a OFFSET 0) AS held {is_array})"
    return place, names


def _absent(or_empty: bool, wanted: bool) -> Printed:
    test = "coalesce(v, 'null') IN ('null', '\"\"', '[]')" if or_empty else NULL
    return Printed(test if wanted else f"NOT ({test})")


def _negated(found: Printed) -> Printed:
    """Where the value is neither null nor missing and the condition not true."""
    if not found.exact:
        return Printed(f"NOT ({NULL})", exact=False)
    return Printed(f"(NOT ({NULL}) AND ({found.sql}) IS NOT TRUE)", found.args)


def _equal(values: Sequence[tree.Scalar], wanted: bool) -> Printed:
    strings = list(dict.fromkeys(value for value in values if isinstance(value, str)))
    booleans = {value for value in values if isinstance(value, bool)}
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    parts = [Printed("v = to_jsonb(?::text)", (escaped(text),)) for text in strings]
    parts += [Printed(f"v = '{str(value).lower()}'") for value in sorted(booleans)]
    if numbers:
        tests = joined(" OR ", [number_test("=", number) for number in dict.fromkeys(numbers)])
        parts.append(is_number(tests))
    if not wanted:
        return _negated(joined(" OR ", parts)) if values else EVERY
    if None in values:
        parts.append(Printed(NULL))
    return joined(" OR ", parts)


def _within(bounds: Sequence[tuple[tree.Sign, tree.Scalar]], wanted: bool) -> Printed:
    tests: list[Printed] = []
    is_text = False
    for sign, bound in bounds:
        if isinstance(bound, str):
            is_text = True
            tests.append(Printed(f"{_TEXT} {_SIGNS[sign]} ?::text", (escaped(bound),)))
        elif isinstance(bound, int | float):
            tests.append(number_test(_SIGNS[sign], bound))
    found = joined(" AND ", tests)
    if is_text:
        found = Printed(f"CASE WHEN {_IS_TEXT} THEN {found.sql} END", found.args)
    else:
        found = is_number(found)
    return found if wanted else _negated(found)


def _text(leaf: tree.HasText) -> Printed:
    needle = leaf.text
    is_array = "jsonb_typeof(v) = 'array'"
    if leaf.folds_case and needle:
        # The server folds case in another way than Python.
        widened = f"{_IS_TEXT} OR {is_array}" if leaf.where == "$contains" else _IS_TEXT
        return Printed(f"({widened})" if leaf.wanted else f"NOT ({NULL})", exact=False)
    argument = escaped(needle)
    is_exact = leaf.where == "$startsWith" or _SPECIAL.isdisjoint(needle)
    args: tuple[str, ...] = (argument,)
    if leaf.where == "$contains":
        test = """CASE jsonb_typeof(v) WHEN 'string' THEN strpos(v #>> '{}', ?::text) > 0
WHEN 'array' THEN v @> to_jsonb(?::text) END"""
        args = (argument, argument)
    elif leaf.where == "$startsWith":
        test = f"CASE WHEN {_IS_TEXT} THEN starts_with(v #>> '{{}}', ?::text) END"
    else:
        test = f"CASE WHEN {_IS_TEXT} THEN right(v #>> '{{}}', {len(argument)}) = ?::text END"
    found = Printed(test, args, is_exact)
    return found if leaf.wanted else _negated(found)
