"""Older paths of plugins, which are served as today's paths."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from starlette.types import Scope

from buntime_host.errors import InvalidPlugin

_OLD = re.compile(r"(/[a-zA-Z0-9_.-]+){2,}")
_NEW = re.compile(r"(/[a-zA-Z0-9_.-]+)*")


def full_aliases(value: Any, base: str | None) -> dict[str, str]:
    """Return a plugin's `aliases()`, with whole paths instead of those below its base.

    Raises `InvalidPlugin`. An old path has at least two segments: one alone is a base.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidPlugin(
            "aliases() must return a mapping from old paths to paths below the base"
        )
    if base is None or base == "/":
        raise InvalidPlugin("aliases() needs a base to lead to")
    for old, new in value.items():
        if not isinstance(old, str) or not _OLD.fullmatch(old):
            raise InvalidPlugin(f'aliases(): {old!r} is not a path such as "/_/my-plugin"')
        if not isinstance(new, str) or not _NEW.fullmatch(new):
            raise InvalidPlugin(f'aliases(): {new!r} is not a path such as "/api", or ""')
    return {old: base + new for old, new in value.items()}


class Aliases:
    """The older paths of all plugins."""

    def __init__(self, paths: Mapping[str, str]) -> None:
        """`paths` maps old paths to the new ones."""
        self._paths = dict(paths)
        self.first_segments = frozenset("/" + old.split("/")[1] for old in paths)

    def rewrite(self, scope: Scope) -> bool:
        """Rewrite a request for an old path to the new path; return whether it was one.

        Its paths begin where those of the host do.
        """
        path: str = scope["path"]
        raw: bytes | None = scope.get("raw_path")
        for old, new in self._paths.items():
            if path != old and not path.startswith(f"{old}/"):
                continue
            if raw is not None:
                start = old.encode()
                if not raw.startswith(start):
                    return False  # with percent signs in it: no client has ever written it so
                scope["raw_path"] = new.encode() + raw[len(start) :]
            scope["path"] = new + path[len(old) :]
            return True
        return False
