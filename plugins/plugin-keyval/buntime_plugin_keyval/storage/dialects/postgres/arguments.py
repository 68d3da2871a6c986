"""Arguments of statements: `?` and `?2` while they are put together, `$1` as the server has them.

A condition does not know what stands before it in the statement that it is part of.
"""

from __future__ import annotations

import re

# What is no argument, although it may look like one: texts, names and comments.
_ARGUMENT = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|\?([0-9]*)")


def numbered(text: str) -> str:
    """The statement with a number for each argument: a bare `?` is the one behind the greatest."""
    greatest = 0

    def replace(found: re.Match[str]) -> str:
        nonlocal greatest
        if not found[0].startswith("?"):
            return found[0]
        number = int(found[1]) if found[1] else greatest + 1
        greatest = max(greatest, number)
        return f"${number}"

    return _ARGUMENT.sub(replace, text)
