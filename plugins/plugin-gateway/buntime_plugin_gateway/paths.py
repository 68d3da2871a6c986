"""Patterns of paths in the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import re2
from buntime_host import OptionError

REGEX = "re:"
LONGEST_PATTERN = 512
"""In characters."""
_WILDCARDS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
_BELOW = "/**"
_WILD = re.compile(r"[*?]")


def matcher(patterns: Iterable[str], option_name: str) -> Callable[[bytes], object] | None:
    """A function that tells whether a path, as sent, matches a pattern; None without patterns.

    A pattern is a glob of the whole path: `*` is anything within a segment, `**` any number of
    segments, `?` one character. Behind `re:` it is a regular expression (RE2) of the whole path; so
    is one that begins with `^`, as older configurations have it. A slash at the end of a path does
    not matter. Raises `OptionError`.
    """
    exact: set[bytes] = set()
    below: list[bytes] = []
    others: list[str] = []
    for pattern in patterns:
        if len(pattern) > LONGEST_PATTERN:
            raise OptionError(f"{option_name}: longer than {LONGEST_PATTERN} characters")
        plain = pattern.removesuffix(_BELOW)
        if pattern.startswith((REGEX, "^")) or _WILD.search(plain):
            others.append(_as_regex(pattern, option_name))
        elif plain != pattern:
            below.append(plain.encode() + b"/")
        else:
            # The base of a plugin always arrives as `/base/`.
            exact |= {plain.encode(), plain.encode() + b"/"}
    prefixes = tuple(below)
    search = _compiled("|".join(others)).fullmatch if others else None
    if not (exact or prefixes or search):
        return None

    if not (prefixes or search):
        return exact.__contains__  # not a Python function, since it is called for each request

    def fits(path: bytes) -> object:
        return (
            path in exact
            or path.startswith(prefixes)
            or (search is not None and search(path) is not None)
        )

    return fits


def beginnings(patterns: Iterable[str]) -> tuple[bytes, ...]:
    """The beginnings of all paths that a `matcher` of these patterns matches."""
    return tuple(
        b"" if pattern.startswith((REGEX, "^")) else _WILD.split(pattern, maxsplit=1)[0].encode()
        for pattern in patterns
    )


def _as_regex(pattern: str, option_name: str) -> str:
    if pattern.startswith(REGEX):
        text = pattern.removeprefix(REGEX)
    elif pattern.startswith("^"):
        text = pattern
    else:
        parts = re.split(r"(\*\*|\*|\?)", pattern)
        text = "".join(_WILDCARDS.get(part) or re.escape(part) for part in parts)
    try:
        _compiled(text)
    except re2.error as error:
        raise OptionError(f"{option_name}: {pattern!r} is not a regular expression") from error
    return f"(?:{text})/?"


def _compiled(text: str) -> re.Pattern[bytes]:
    options = re2.Options()
    options.log_errors = False
    compiled: re.Pattern[bytes] = re2.compile(text.encode(), options)
    return compiled
