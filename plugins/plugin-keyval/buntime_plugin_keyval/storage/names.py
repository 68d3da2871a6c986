"""The order of names of locks and consumers."""

from __future__ import annotations

FIRST_NAME = " "
"""Before all names that callers can use, which have no control characters."""


def behind_names(prefix: str) -> str | None:
    """The first text after all that begin with a prefix; None if there is none."""
    for place in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[place])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1  # surrogates do not occur
            return prefix[:place] + chr(following)
    return None
