"""Filters: a small builder of the dicts that are filters.

    (Field("age") >= 18) & ~Field("tags").contains("draft")

is `{"$and": [{"age": {"$gte": 18}}, {"$not": {"tags": {"$contains": "draft"}}}]}`, and is
accepted wherever a plain dict is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

Where = Mapping[str, Any]
"""A filter: a plain dict, or what `Field` builds."""


class Condition(dict[str, Any]):
    """A filter that can be joined with `&` and `|` and negated with `~`."""

    __slots__ = ()

    def __and__(self, other: Where) -> Condition:
        return Condition({"$and": [*_members(self, "$and"), *_members(other, "$and")]})

    def __rand__(self, other: Where) -> Condition:
        return Condition(other) & self

    def __or__(self, other: Where) -> Condition:  # type: ignore[override] # not a merge of dicts
        return Condition({"$or": [*_members(self, "$or"), *_members(other, "$or")]})

    def __ror__(self, other: Where) -> Condition:  # type: ignore[override] # as above
        return Condition(other) | self

    def __invert__(self) -> Condition:
        return Condition({"$not": dict(self)})

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "a filter is neither true nor false: join filters with & and |, negate with ~, and "
            "write a range as Field(...).between(low, high)"
        )


class Field:
    """A place in a value: `"age"`, `"profile.name"`, `"items[0].price"`, `"$"` for all of it.

    The comparison operators give filters. Numbers compare with numbers and texts with texts; a
    missing or null value matches only `== None` and `is_null()`.
    """

    __slots__ = ("path",)
    __hash__ = None  # type: ignore[assignment] # == builds a filter

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Field({self.path!r})"

    def _is(self, operator: str, operand: Any) -> Condition:
        return Condition({self.path: {operator: operand}})

    def __eq__(self, other: object) -> Condition:  # type: ignore[override] # no comparison
        return self._is("$eq", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override] # as above
        return self._is("$ne", other)

    def __gt__(self, other: Any) -> Condition:
        return self._is("$gt", other)

    def __ge__(self, other: Any) -> Condition:
        return self._is("$gte", other)

    def __lt__(self, other: Any) -> Condition:
        return self._is("$lt", other)

    def __le__(self, other: Any) -> Condition:
        return self._is("$lte", other)

    def between(self, low: Any, high: Any) -> Condition:
        """From `low` to `high`, both included."""
        return self._is("$between", [low, high])

    def is_in(self, values: Iterable[Any]) -> Condition:
        """Equal to one of the values."""
        return self._is("$in", list(values))

    def not_in(self, values: Iterable[Any]) -> Condition:
        """There, and equal to none of the values."""
        return self._is("$nin", list(values))

    def contains(self, text: Any, *, ignore_case: bool = False) -> Condition:
        """A text with this part, or an array with this element."""
        return self._is("$containsi" if ignore_case else "$contains", text)

    def not_contains(self, text: Any, *, ignore_case: bool = False) -> Condition:
        """There, and without this part or element."""
        return self._is("$notContainsi" if ignore_case else "$notContains", text)

    def starts_with(self, text: str, *, ignore_case: bool = False) -> Condition:
        """A text that begins so."""
        return self._is("$startsWithi" if ignore_case else "$startsWith", text)

    def ends_with(self, text: str, *, ignore_case: bool = False) -> Condition:
        """A text that ends so."""
        return self._is("$endsWithi" if ignore_case else "$endsWith", text)

    def is_null(self, null: bool = True) -> Condition:
        """Null or missing; with False, there and not null."""
        return self._is("$null", null)

    def is_empty(self, empty: bool = True) -> Condition:
        """Null, missing, `""` or `[]`; with False, anything else."""
        return self._is("$empty", empty)


def _members(where: Where, operator: str) -> list[Any]:
    """The parts of a filter that is nothing but this operator, else the filter as one part."""
    if len(where) == 1 and operator in where and isinstance(where[operator], list):
        return list(where[operator])
    return [dict(where)]
