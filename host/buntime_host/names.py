"""Names of plugins and their short forms."""

from __future__ import annotations

from collections.abc import Container

SCOPE = "@buntime/"
PREFIX = "@buntime/plugin-"


def known_name(name: str, known: Container[str]) -> str | None:
    """The spelling of `name` that `known` has, or None.

    `@buntime/keyval` and `@buntime/plugin-keyval` are the same plugin; an exact match wins.
    """
    if name in known:
        return name
    if name.startswith(PREFIX):
        other = SCOPE + name.removeprefix(PREFIX)
    elif name.startswith(SCOPE):
        other = PREFIX + name.removeprefix(SCOPE)
    else:
        return None
    return other if other in known else None
