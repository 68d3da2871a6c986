"""The files of the shell, in memory."""

from __future__ import annotations

import mimetypes
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from buntime_host import OptionError

INDEX = "/index.html"
MOST_BYTES = 64 * 1024 * 1024
_TEXTS = ("text/", "application/javascript", "application/json")


class ShellFile(NamedTuple):
    """One file."""

    body: bytes
    content_type: str
    tag: str


def read_files(folder: Path) -> dict[bytes, ShellFile]:
    """All files below a folder, by their paths as browsers send them. Raises `OptionError`.

    Links that lead out of the folder are ignored.
    """
    if not folder.is_dir():
        raise OptionError(f"shellDir: {folder} is not a folder")
    root = folder.resolve()
    files: dict[bytes, ShellFile] = {}
    size = 0
    for path in sorted(root.rglob("*")):
        if not path.is_file() or not path.resolve().is_relative_to(root):
            continue
        body = path.read_bytes()
        size += len(body)
        if size > MOST_BYTES:
            raise OptionError(
                f"shellDir: the files of {folder} have more than {MOST_BYTES >> 20} MB together"
            )
        name = "/" + path.relative_to(root).as_posix()
        files[quote(name).encode()] = _file(name, body)
    if INDEX.encode() not in files:
        raise OptionError(f"shellDir: {folder} has no {INDEX[1:]}")
    return files


def _file(name: str, body: bytes) -> ShellFile:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    if kind.startswith(_TEXTS):
        kind += "; charset=utf-8"
    return ShellFile(body, kind, blake2b(body, digest_size=12).hexdigest())
