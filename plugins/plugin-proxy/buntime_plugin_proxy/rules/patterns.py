"""Regular expressions that take linear time, and their templates.

RE2 has neither lookaround nor backreferences, which let other engines take for ever.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any

import re2

LONGEST_PATTERN = 512
"""In characters."""
LONGEST_PATH = 8 * 1024
"""The most bytes of a path that rules can match."""
OF_ONE_PASS = 200
"""The most patterns that are searched in one pass."""
_MEMORY = 16 * 1024 * 1024
"""The most bytes of memory for the states of one pass."""
_PARTS = re.compile(r"\$(\$|[0-9]{1,2})")


class PatternProblem(ValueError):
    """A pattern cannot be used; the text says why."""


def _options(memory: int) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = memory
    return options


@lru_cache(maxsize=2048)
def compiled(pattern: str) -> Any:
    """A compiled pattern. Raises `PatternProblem`."""
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
    """Finds the patterns that match a path, by their numbers in order, in few passes."""
    sets = [
        found
        for start in range(0, len(patterns), OF_ONE_PASS)
        for found in _sets(range(start, min(start + OF_ONE_PASS, len(patterns))), patterns)
    ]
    if len(sets) == 1:
        return sets[0]

    def choose(path: bytes) -> Sequence[int]:
        return [index for one in sets for index in one(path)]

    return choose


def _sets(
    indexes: Sequence[int], patterns: Sequence[str]
) -> Iterator[Callable[[bytes], Sequence[int]]]:
    """The same for parts of the patterns, which are divided if they are too large together."""
    chosen = re2.Set.SearchSet(_options(_MEMORY))
    for index in indexes:
        chosen.Add(patterns[index])
    try:
        chosen.Compile()
    except re2.error:
        if len(indexes) == 1:
            yield partial(_alone, indexes[0], compiled(patterns[indexes[0]]))
            return
        middle = len(indexes) // 2
        yield from _sets(indexes[:middle], patterns)
        yield from _sets(indexes[middle:], patterns)
        return
    yield partial(_of_set, indexes[0], chosen)


def _of_set(first: int, chosen: Any, path: bytes) -> Sequence[int]:
    found: Sequence[int] | None = chosen.Match(path)
    return [first + index for index in sorted(found)] if found else ()


def _alone(index: int, pattern: Any, path: bytes) -> Sequence[int]:
    return (index,) if pattern.search(path) is not None else ()


class Template:
    """A path with references to groups of a match: `$1` to `$99`, and `$$` for a dollar sign.

    As with two digits at the original, `$10` is the tenth group where there are ten, and else the
    first with a 0 behind it. A missing group, or one that has matched nothing, is empty.
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
