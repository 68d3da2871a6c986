"""Public routes, which need no credential.

Those of the host are all here; plugins declare theirs by `publicRoutes` of their manifests.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote

ALL_METHODS = "ALL"
VIEWER_FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "viewer.js")
"""Files that the page of the API loads, below its own path."""
SLASH_PATH = "/.well-known/buntime/slash/a/b"
"""The decoded path by which anybody can check whether `%2F` arrives."""

SHARED_FILES = "/.well-known/buntime/ui/"
"""The path of the files that all pages share; they are public, as are those of the pages."""
_OFF_THE_PATH = frozenset({"", ".", ".."})


def public_paths(api: str) -> frozenset[str]:
    """Public paths of the host; `api` is the path of its API.

    They reveal no more than that there is a host, with which plugins.
    """
    paths = {"/", "/favicon.ico", "/.well-known/buntime", f"{api}/plugins/loaded", f"{api}/docs"}
    paths.add(SLASH_PATH)
    paths |= {f"{api}/docs/{name}" for name in VIEWER_FILES}
    for prefix in ("/health", f"{api}/health"):
        paths |= {prefix, f"{prefix}/live", f"{prefix}/ready"}
    return frozenset(paths)


def own_check_paths(api: str) -> frozenset[str]:
    """Paths of the host whose endpoint handles the credential: it is in the body, or ends there."""
    return frozenset({f"{api}/admin/session", f"{api}/admin/tickets"})


class PublicRoutes:
    """Public routes of one plugin: globs of paths below its base, by method.

    `*` is anything within a segment, `**` any number of segments, `?` one character. A pattern that
    begins with `(` is a regular expression. Each has to fit the whole path. The method of a
    handshake is `WEBSOCKET`.
    """

    def __init__(self, declared: Any, base: str) -> None:
        """`declared` is a list of patterns, or a map of methods to such lists, or None."""
        by_method: Mapping[str, Any] = (
            declared if isinstance(declared, Mapping) else {ALL_METHODS: declared}
        )
        self._base = base
        self._patterns = {
            method: [_compiled(pattern, base) for pattern in patterns]
            for method, patterns in by_method.items()
            if patterns
        }

    def __bool__(self) -> bool:
        return bool(self._patterns)

    def has(self, method: str, raw_path: bytes) -> bool:
        """Whether this path, percent-encoded and with the base, is public for the method.

        A path with a segment such as `..`, or with an encoded slash, is not: plugins may read it in
        more ways than one.
        """
        path = plain_path(raw_path)
        if path is None:
            return False
        if path == self._base:
            path += "/"  # which is what the plugin serves then
        return any(
            pattern.fullmatch(path)
            for name in (ALL_METHODS, method)
            for pattern in self._patterns.get(name, ())
        )


def plain_path(raw_path: bytes) -> str | None:
    """The decoded path; None if decoding would lose a difference."""
    segments = [unquote(part) for part in raw_path.decode("latin-1").split("/")[1:]]
    inner = segments[:-1] if segments and segments[-1] == "" else segments
    if any("/" in segment or segment in _OFF_THE_PATH for segment in inner):
        return None
    return "/" + "/".join(segments)


def pattern_problem(pattern: str) -> str | None:
    """Why a pattern is not valid; None if it is."""
    try:
        _compiled(pattern, "/")
    except re.error as error:
        return f"is not a regular expression: {error}"
    return None


def _compiled(pattern: str, base: str) -> re.Pattern[str]:
    if pattern.startswith("("):
        return re.compile(pattern)
    root = "" if base == "/" else base
    if root and not (pattern == root or pattern.startswith(f"{root}/")):
        pattern = root + (pattern if pattern.startswith("/") else f"/{pattern}")
    return re.compile("".join(_parts(pattern)), re.DOTALL)


def _parts(pattern: str) -> Iterable[str]:
    for part in re.split(r"(\*\*|\*|\?)", pattern):
        yield {"**": ".*", "*": "[^/]*", "?": "[^/]"}.get(part, re.escape(part))
