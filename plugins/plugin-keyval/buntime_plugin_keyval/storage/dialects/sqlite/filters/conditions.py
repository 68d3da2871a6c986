"""One leaf of a filter as SQL.

`json_extract` yields text for strings, arrays and objects, 1 and 0 for booleans. So most forms
compare the extracted value first, which turns most rows away, and look at the JSON type only of
what is left. SQLite parses the JSON once per row and statement; each further look at the same
row costs a lookup.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from buntime_plugin_keyval.storage.dialects.sqlite.filters.fragments import (
    EVERY,
    Fragment,
    Value,
    joined,
    one_of,
)
from buntime_plugin_keyval.storage.dialects.sqlite.filters.numbers import (
    SIGNS,
    number_keys,
    number_range,
)
from buntime_plugin_keyval.storage.dialects.sqlite.paths import json_path
from buntime_plugin_keyval.storage.filters import tree

MAX_NEEDLE = 64
"""Characters of a substring test; a longer one narrows no better and can be slow to search."""


class FilteredField(NamedTuple):
    """The context of conditions: the column, whether SQL has `casefold`, and the path.

    `casefold(text)` exists where SQL runs in process. Other engines get only what SQLite has since
    3.38.
    """

    column: str
    """A text of JSON: the name of a column, or an expression, which is trusted."""
    casefold: bool
    path: str = "$"
    member: str | None = None

    @property
    def extract(self) -> str:
        """SQL of the value at the path; takes the path as its argument."""
        return f"json_extract({self.column}, ?)"

    @property
    def type(self) -> str:
        """SQL of the JSON type at the path; takes the path as its argument."""
        return f"json_type({self.column}, ?)"


def leaf_sql(leaf: tree.Leaf, field: FilteredField) -> Fragment:
    """SQL that is true exactly where the leaf holds.

    Elsewhere the SQL is false or NULL. Where the engine cannot decide, the SQL is too wide, and
    marked so.
    """
    path = leaf.path
    if not field.casefold and any('"' in step for step in path if isinstance(step, str)):
        # Older SQLite versions (3.45 is one) cannot read a double quote in a path.
        return Fragment("1", exact=False)
    last = path[-1] if path else None
    member = msgspec.json.encode(last).decode() + ":" if isinstance(last, str) else None
    field = field._replace(path=json_path(path), member=member)
    match leaf:
        case tree.Equal():
            return _equal(field, leaf.values, leaf.wanted)
        case tree.Within():
            return _range(field, dict(leaf.bounds), leaf.wanted)
        case tree.Absent():
            return _absent(field, leaf.or_empty, leaf.wanted)
        case tree.HasText():
            return _text(field, leaf)


def _negated(field: FilteredField, fragment: Fragment) -> Fragment:
    """Return where the value is neither null nor missing and the exact condition not true."""
    sql = f"({field.extract} IS NOT NULL AND ({fragment.sql}) IS NOT TRUE)"
    return Fragment(sql, (field.path, *fragment.args))


def _absent(field: FilteredField, or_empty: bool, wanted: bool) -> Fragment:
    if not or_empty:
        return Fragment(f"{field.extract} IS {'' if wanted else 'NOT '}NULL", (field.path,))
    # The JSON text, not the extracted value: it tells an empty array from the string "[]".
    sql = f"ifnull({field.column} -> ?, 'null') {'' if wanted else 'NOT '}IN ('null', '\"\"', '[]')"
    return Fragment(sql, (field.path,))


def _equal(field: FilteredField, values: Sequence[tree.Scalar], wanted: bool) -> Fragment:
    strings = list(dict.fromkeys(value for value in values if isinstance(value, str)))
    booleans = {value for value in values if isinstance(value, bool)}
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    parts: list[Fragment] = []
    if strings:
        # Only text that could be the JSON of an array or object needs a look at the type.
        plain = not any(text.startswith(("{", "[")) for text in strings)
        if plain and not wanted and len(strings) == len(values):
            sql, args, _ = one_of(strings)
            negated = "<> ?" if sql == "= ?" else f"NOT {sql}"
            return Fragment(f"{field.extract} {negated}", (field.path, *args))
        parts.append(_same(field, strings, "" if plain else "= 'text'"))
    if numbers:
        keys, maybe_other = number_keys(numbers)
        parts.append(_same(field, keys, "IN ('integer', 'real', 'object')" if maybe_other else ""))
    if booleans:
        names = ", ".join(f"'{str(value).lower()}'" for value in sorted(booleans))
        parts.append(Fragment(f"{field.type} IN ({names})", (field.path,)))
    if not wanted:
        if not values:
            return EVERY
        return _negated(field, joined(" OR ", parts, "0"))
    if None in values:
        parts.append(Fragment(f"{field.extract} IS NULL", (field.path,)))
    found = joined(" OR ", parts, "0")
    return _narrowed(field, values[0], found) if len(values) == 1 else found


def _same(field: FilteredField, keys: Sequence[Value], type_test: str) -> Fragment:
    sql, args, _ = one_of(keys)
    if not type_test:
        return Fragment(f"{field.extract} {sql}", (field.path, *args))
    return Fragment(
        f"({field.extract} {sql} AND {field.type} {type_test})", (field.path, *args, field.path)
    )


def _narrowed(field: FilteredField, value: tree.Scalar, found: Fragment) -> Fragment:
    """Put a substring test of the stored JSON text in front, where the text is predictable.

    It saves parsing the rows that it turns away, which more than halves the time of a scan.
    """
    member = _rest_of(field.member)
    if isinstance(value, str | bool):
        needles = [member + msgspec.json.encode(value).decode()]
    elif isinstance(value, int) and member and 0 < abs(value) < 10**15:
        # A bigint is an object. Zero may be stored with a sign, huge numbers with an exponent.
        needles = [f"{member}{value}", member + "{"]
    else:
        return found
    tests = [_substring(field, needle) for needle in needles]
    return joined(" AND ", [joined(" OR ", tests, "1"), found], "1")


def _rest_of(member: str | None) -> str:
    """The beginning of a member without its first quotation mark; empty where there is none.

    SQLite compares the whole needle wherever its first character occurs, and quotation marks are
    all over a JSON text.
    """
    return member[1:] if member else ""


def _substring(field: FilteredField, needle: str) -> Fragment:
    return Fragment(f"instr({field.column}, ?)", (needle[:MAX_NEEDLE],))


def _range(field: FilteredField, bounds: dict[tree.Sign, tree.Scalar], wanted: bool) -> Fragment:
    texts = {operator: value for operator, value in bounds.items() if isinstance(value, str)}
    if texts:
        sql = " AND ".join(f"{field.extract} {SIGNS[operator]} ?" for operator in texts)
        args = [argument for value in texts.values() for argument in (field.path, value)]
        found = Fragment(f"({sql} AND {field.type} = 'text')", (*args, field.path))
    else:
        numbers = {o: v for o, v in bounds.items() if isinstance(v, int | float)}
        found = number_range(field.column, field.path, numbers)
    return found if wanted else _negated(field, found)


def _text(field: FilteredField, leaf: tree.HasText) -> Fragment:
    folded, name, text, wanted = leaf.folds_case, leaf.where, leaf.text, leaf.wanted
    if folded and not field.casefold and text:
        return _maybe_text(field, name, wanted)
    # Only the empty text folds to the empty text, so for "" both spellings ask the same.
    folded = folded and field.casefold
    needle = text.casefold() if folded else text
    extract = f"casefold({field.extract})" if folded else field.extract
    if name == "$contains":
        atom = "casefold(atom)" if folded else "atom"
        found = Fragment(
            # The column is a trusted name, everything else is bound. It gets another name inside,
            # where `value`, `key` and others would mean the columns of json_each.
            f"CASE {field.type} WHEN 'text' THEN instr({extract}, ?) WHEN 'array' THEN EXISTS "
            f"(SELECT 1 FROM (SELECT {field.column} AS document), json_each(document, ?) "
            f"WHERE type = 'text' AND {atom} = ?) END",
            (field.path, field.path, needle, field.path, needle),
        )
        start = msgspec.json.encode(needle).decode()[1:-1]
    elif name == "$startsWith":
        sql = f"(instr({extract}, ?) = 1 AND {field.type} = 'text')"
        found = Fragment(sql, (field.path, needle, field.path))
        start = _rest_of(field.member) + msgspec.json.encode(needle).decode()[:-1]
    else:
        found = _ends_with(field, extract, needle)
        start = msgspec.json.encode(needle).decode()[1:]
    if not wanted:
        return _negated(field, found)
    if folded or not needle:
        return found
    return joined(" AND ", [_substring(field, start), found], "1")


def _ends_with(field: FilteredField, extract: str, needle: str) -> Fragment:
    """Compare as bytes: SQL's text functions stop at a NUL character."""
    if not needle:
        return Fragment(f"{field.type} = 'text'", (field.path,))
    sql = f"substr(CAST({extract} AS BLOB), ?) = CAST(? AS BLOB)"
    args = (field.path, -len(needle.encode()), needle, field.path)
    return Fragment(f"({sql} AND {field.type} = 'text')", args)


def _maybe_text(field: FilteredField, name: str, wanted: bool) -> Fragment:
    """Return what could match where the engine cannot fold case."""
    if not wanted:
        return Fragment(f"{field.extract} IS NOT NULL", (field.path,), exact=False)
    types = "IN ('text', 'array')" if name == "$contains" else "= 'text'"
    return Fragment(f"{field.type} {types}", (field.path,), exact=False)
