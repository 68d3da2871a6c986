"""Finds the modules that a page's module imports, so that a browser can request all at once.

Without that, it learns of each module only from the one that imports it, a round trip for every
step.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from posixpath import dirname, join, normpath

_IMPORT = re.compile(
    r"""^(?:import|export)\b(?:[^;"'`(]*?\bfrom)?\s*["'](\.[^"']*)["']""", re.MULTILINE
)
"""An import at the beginning of a line, of a relative path. Imports by a call are left out: they
are for later."""


def modules_of(entry: str, find: Callable[[str], Path | None]) -> list[str]:
    """Return all modules that `entry` imports, directly or not, as paths relative like `entry`.

    `find` returns the file of a path, None for an unknown one. Modules that a browser would come to
    first are first.
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
