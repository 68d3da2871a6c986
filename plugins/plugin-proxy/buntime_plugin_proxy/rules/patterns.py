"""Regular expressions whose time is linear in what they are looked for in, and their templates.

RE2 knows neither lookaround nor backreferences: they are what makes others take for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import re2

LONGEST_PATTERN = 512
"""Characters."""
LONGEST_PATH = 8 * 1024
"""Bytes of a path that rules are looked for in; longer ones match none."""
_MEMORY = 32 * 1024 * 1024
"""Bytes that the states of all patterns together may take."""
_PARTS = re.compile(r"\$(\$|[0-9]{1,2})")


class PatternProblem(ValueError):
    """A pattern cannot be used; the text says why."""


def _options(memory: int) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory
    return options


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """A pattern, ready. Raises `PatternProblem`."""
    if len(pattern) > LONGEST_PATTERN:
        raise PatternProblem(f"longer than {LONGEST_PATTERN} characters")
    try:
        return re2.compile(pattern, _options(1024 * 1024))
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode() if isinstance(reason, bytes) else str(reason)
        raise PatternProblem(
            f"{text}; lookaround and backreferences are not known, see RE2's syntax"
        ) from error


def chooser(patterns: Sequence[str]) -> Callable[[bytes], Sequence[int]]:
    """What tells which of the patterns are in a path, by their numbers, in one pass over it."""
    chosen = re2.Set.SearchSet(_options(_MEMORY))
    for pattern in patterns:
        compiled(pattern)
        chosen.Add(pattern)
    chosen.Compile()

    def choose(path: bytes) -> Sequence[int]:
        found: Sequence[int] | None = chosen.Match(path)
        return found or ()

    return choose


class Template:
    """A path with groups of a match in it: `$1` to `$99`, and `$$` for a dollar sign.

    As with two digits at the original, `$10` is the tenth group where there are ten, and else the
    first with a 0 behind it. A group that is not there, or has matched nothing, is empty.
    """

    def __init__(self, text: str, groups: int) -> None:
        self._parts: list[bytes | int] = []
        at = 0
        for found in _PARTS.finditer(text):
            self._parts.append(text[at : found.start()].encode())
            at = found.end()
            said = found[1]
            if said == "$":
                self._parts.append(b"$")
            elif len(said) == 2 and int(said) > groups:
                self._parts += [int(said[0]), said[1].encode()]
            else:
                self._parts.append(int(said))
        self._parts.append(text[at:].encode())
        self._groups = groups

    def filled(self, group: Callable[[int], bytes | None]) -> bytes:
        """The path, for a match."""
        return b"".join(
            part
            if isinstance(part, bytes)
            else (group(part) or b"" if part <= self._groups else b"")
            for part in self._parts
        )
