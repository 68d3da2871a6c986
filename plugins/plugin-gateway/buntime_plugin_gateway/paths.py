"""Patterns of paths in the configuration."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import re2
from buntime_host import OptionError

REGEX = "re:"
_WILDCARDS = {"**": ".*", "*": "[^/]*", "?": "[^/]"}


def matcher(patterns: Iterable[str], option_name: str) -> Callable[[bytes], object] | None:
    """What tells whether a path, as it was sent, is one of them; None if there are none.

    A pattern is a glob of the whole path: `*` is anything within a segment, `**` any number of
    segments, `?` one character. Behind `re:` it is a regular expression (RE2) of the whole path; so
    is one that begins with `^`, as older configurations have it. A slash at the end of a path does
    not matter. Raises `OptionError`.
    """
    texts = [_as_regex(pattern) for pattern in patterns]
    if not texts:
        return None
    options = re2.Options()
    options.log_errors = False
    for pattern in texts:
        try:
            re2.compile(pattern, options)
        except re2.error as error:
            raise OptionError(f"{option_name}: {pattern!r} is no regular expression") from error
    # The base of a plugin arrives as `/base/`, however it was sent.
    whole = f"(?:{'|'.join(f'(?:{text})' for text in texts)})/?"
    fits: Callable[[bytes], object] = re2.compile(whole.encode(), options).fullmatch
    return fits


def _as_regex(pattern: str) -> str:
    if pattern.startswith(REGEX):
        return pattern.removeprefix(REGEX)
    if pattern.startswith("^"):
        return pattern
    parts = re.split(r"(\*\*|\*|\?)", pattern)
    return "".join(_WILDCARDS.get(part) or re.escape(part) for part in parts)
