"""The requests that the shell answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import unquote

from buntime_host import Answer, DirectRequest

from buntime_plugin_gateway.shell.excludes import is_basename
from buntime_plugin_gateway.shell.files import INDEX, ShellFile

COOKIE = b"gateway_shell_excludes"
HOST = "host"
_METHODS = frozenset({"GET", "HEAD"})
_FRAMES = frozenset({b"embed", b"frame", b"iframe", b"object"})
_HEADERS = ((b"cache-control", b"no-cache"), (b"vary", b"sec-fetch-dest, cookie"))
_COOKIE_NAMES = frozenset({COOKIE, COOKIE.upper()})


class Shell:
    """One page for all documents of a browser, and the files that it needs."""

    def __init__(
        self,
        folder: Path,
        files: Mapping[bytes, ShellFile],
        excludes: frozenset[str],
        stored: Callable[[], Mapping[str, object]],
        mounted_at: Callable[[str], str | None],
    ) -> None:
        """`excludes` are those of the configuration, `stored` returns those of the API."""
        self.folder = folder
        self._files = files
        self.excludes = excludes
        self._stored = stored
        self._mounted_at = mounted_at

    def answer(self, request: DirectRequest) -> Answer | None:
        """The page, or one of its files; None for other requests."""
        if request.method not in _METHODS:
            return None
        destination = cookie = tag = b""
        for name, value in request.headers:
            if name == b"sec-fetch-dest":
                destination = value.strip().lower()
            elif name == b"cookie":
                cookie = value
            elif name == b"if-none-match":
                tag = value
        path = request.whole_path
        first, _, rest = path[1:].partition(b"/")
        whose = self._mounted_at(path.decode("latin-1"))
        if path != b"/" and (whose == HOST or self._passes(first, cookie)):
            return None
        is_document = destination == b"document"
        if not is_document and (destination in _FRAMES or (rest and whose is not None)):
            return None
        file = self._files.get(path)
        if file is None and (is_document or (not rest and b"." not in first)):
            file = self._files[INDEX.encode()]
        return None if file is None else _told(file, tag)

    def _passes(self, first: bytes, cookie: bytes) -> bool:
        segment = first.decode("latin-1")
        if segment in self.excludes or segment in self._stored():
            return True
        return bool(cookie) and segment in _of_cookie(cookie)


def _told(file: ShellFile, known: bytes) -> Answer:
    if f'"{file.tag}"'.encode() in known:
        return Answer(304, b"", headers=_HEADERS, tag=file.tag)
    return Answer(200, file.body, file.content_type, headers=_HEADERS, tag=file.tag)


def _of_cookie(cookie: bytes) -> set[str]:
    """The excludes in a developer's cookie."""
    for pair in cookie.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name in _COOKIE_NAMES:
            parts = unquote(value.decode("latin-1")).split(",")
            return {part.strip() for part in parts if is_basename(part.strip())}
    return set()
