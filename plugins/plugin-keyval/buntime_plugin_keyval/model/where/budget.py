"""Limits of one filter, counted while it is read, so that no more than that is read."""

from __future__ import annotations

from buntime_plugin_keyval.model.where.nodes import InvalidWhere

MAX_DEPTH = 20
"""Levels of `$and`, `$or` and `$not` inside each other."""

MAX_CONDITIONS = 1000
"""Operators on fields in one whole filter; empty ones count as well."""

MAX_LIST_ELEMENTS = 1000
"""Elements of one `$in` or `$nin`."""

MAX_ELEMENTS = 10_000
"""Elements of all lists of a filter."""

MAX_DIGITS_SQUARED = 3 * 10_000**2
"""The sum of squares of the digits of all bigints of a filter, the cost of reading and writing."""


class FilterBudget:
    """What a filter that is being read may still have."""

    __slots__ = ("conditions", "digits_squared", "elements")

    def __init__(self) -> None:
        self.conditions = MAX_CONDITIONS
        self.elements = MAX_ELEMENTS
        self.digits_squared = MAX_DIGITS_SQUARED

    def take_condition(self) -> None:
        """Count a condition. Raises `InvalidWhere`, as the others do."""
        self.conditions -= 1
        if self.conditions < 0:
            raise InvalidWhere(f"where has more than {MAX_CONDITIONS} conditions")

    def take_elements(self, operator: str, number: int) -> None:
        """Count the elements of a list."""
        if number > MAX_LIST_ELEMENTS:
            raise InvalidWhere(f"{operator} takes at most {MAX_LIST_ELEMENTS} elements")
        self.elements -= number
        if self.elements < 0:
            raise InvalidWhere(f"where has more than {MAX_ELEMENTS} elements in its lists")

    def take_digits(self, number: int) -> None:
        """Count the digits of a bigint."""
        self.digits_squared -= number**2
        if self.digits_squared < 0:
            raise InvalidWhere("where has too many long bigints")
