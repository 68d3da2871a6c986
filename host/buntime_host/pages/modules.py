"""Which modules a module of a page imports, so that a browser can ask for all of them at once.

Without that it learns of each only from the one that imports it, a round trip for every step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from posixpath import dirname, join, normpath

_IMPORT = re.compile(
    r"""^(?:import|export)\b(?:[^;"'`(]*?\bfrom)?\s*["'](\.[^"']*)["']""",
    re.MULTILINE,
)
"""An import at the beginning of a line, of a relative path. What is imported by a call is left out:
that is for later."""


def modules_of(entry: str, find: Callable[[str], Path | None]) -> list[str]:
    """All modules that `entry` imports, and those that they do: paths as `entry` is one.

    `find` says which file a path is of, None for what is not known here. Those that a browser
    would come to first are first.
    """
    found: dict[str, None] = {}
    step = [entry]
    while step:
        imported = [path for importing in step for path in _imported(importing, find)]
        step = [path for path in dict.fromkeys(imported) if path not in found and path != entry]
        found |= dict.fromkeys(step)
    return list(found)


def _imported(path: str, find: Callable[[str], Path | None]) -> list[str]:
    file = find(path)
    if file is None or not file.is_file():
        return []
    names = _IMPORT.findall(file.read_text("utf-8"))
    return [normpath(join(dirname(path), name)) for name in names]
