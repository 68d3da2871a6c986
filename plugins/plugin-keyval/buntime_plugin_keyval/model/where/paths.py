"""Field paths: `status`, `profile.name`, `items[0].price`, `tags[#-1]`, `"a.b".c`, `$`, `$[0]`."""

from __future__ import annotations

import re

from buntime_plugin_keyval.model.where.nodes import InvalidWhere, Path

MAX_PATH_LENGTH = 1024
"""Characters of one path; a longer one is a mistake or an attack."""

MAX_INDEX = 999_999_999
"""Some SQLite versions count indexes in 32 bits and wrap around beyond them."""

# Inside quotes only `\"` and `\\` are escapes, so every name can be written and most need no
# escape.
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_NAME = re.compile(r"[^.\[\]]+")
_INDEX = re.compile(r"\[(#-)?([0-9]{1,9})\]")
_ESCAPE = re.compile(r'\\(["\\])')


def parse_path(text: str) -> Path:
    """Return the steps of a field path; the empty tuple is the whole value.

    A member name is any text without `.`, `[` and `]`, or any text in double quotes.
    Raises InvalidWhere for anything else, and for text that is no valid Unicode.
    """
    if len(text) > MAX_PATH_LENGTH:
        raise InvalidWhere(
            f"Invalid field path: {text[:40]}… is longer than {MAX_PATH_LENGTH} characters"
        )
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidWhere("Invalid field path: it contains a lone surrogate") from None
    if "\0" in text:
        # SQLite takes a NUL for the end of a member name, so it would find other members too.
        raise InvalidWhere("Invalid field path: it contains a NUL character")
    if text == "$":
        return ()
    steps: list[str | int] = []
    position = 1 if text.startswith(("$.", "$[")) else 0
    # Only the first name has no dot before it.
    wants_name = position == 0 and not text.startswith("[")
    while wants_name or position < len(text):
        if not wants_name and text[position] == ".":
            position += 1
            wants_name = True
        step, position = (_member if wants_name else _index)(text, position)
        steps.append(step)
        wants_name = False
    return tuple(steps)


def _member(text: str, position: int) -> tuple[str, int]:
    if quoted := _QUOTED.match(text, position):
        return _ESCAPE.sub(r"\1", quoted[1]), quoted.end()
    name = _NAME.match(text, position)
    if name is None:
        raise InvalidWhere(f"Invalid field path: {text} has an empty member name")
    if name[0].startswith('"'):
        raise InvalidWhere(f"Invalid field path: {text} has a quoted name without its end")
    return name[0], name.end()


def _index(text: str, position: int) -> tuple[int, int]:
    index = _INDEX.match(text, position)
    if index is None or (index[1] and int(index[2]) == 0):
        raise InvalidWhere(
            f"Invalid field path: {text} is wrong from character {position + 1} on, "
            f"expected .name, [n] or [#-n] with n up to {MAX_INDEX}"
        )
    number = int(index[2])
    return (-number if index[1] else number), index.end()
