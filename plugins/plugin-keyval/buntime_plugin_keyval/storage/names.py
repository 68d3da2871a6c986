"""Names of locks and consumers in their order."""

from __future__ import annotations

FIRST_NAME = " "
"""No name that callers give is before it: they have no control characters."""


def behind_names(prefix: str) -> str | None:
    """The first text that is behind all that begin so; None for no such one."""
    for place in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[place])
        if code < 0x10FFFF:
            following = 0xE000 if code == 0xD7FF else code + 1  # surrogates are in no text
            return prefix[:place] + chr(following)
    return None
