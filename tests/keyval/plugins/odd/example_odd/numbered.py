"""Statements whose arguments are `$1`, `$2` and so on, and how SQLite takes them."""

from __future__ import annotations

import re
from functools import lru_cache

# What is no argument, although it may look like one: texts, names and comments.
_QUOTED = r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*"
_OURS = re.compile(rf"{_QUOTED}|\$([0-9]+)|\?")
_SQLITES = re.compile(rf"{_QUOTED}|\?([0-9]*)")


class OtherStyle(ValueError):
    """A statement of a dialect that this engine does not speak."""


@lru_cache(maxsize=2048)
def for_sqlite(text: str) -> str:
    """A statement of this engine as one of SQLite. Raises `OtherStyle`."""

    def replace(found: re.Match[str]) -> str:
        if found[0] == "?":
            raise OtherStyle(f"arguments are $1, $2 and so on: {text}")
        return f"?{found[1]}" if found[1] else found[0]

    return _OURS.sub(replace, text)


def numbered(text: str) -> str:
    """A statement of SQLite as one of this engine."""
    greatest = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal greatest
        if not found[0].startswith("?"):
            return found[0]
        number = int(found[1]) if found[1] else greatest + 1
        greatest = max(greatest, number)
        return f"${number}"

    return _SQLITES.sub(replace, text)
