"""`buntime init` and `buntime new-plugin`: the files that a folder begins with."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from buntime_host.errors import ConfigError
from buntime_host.selection import RESERVED

_TEMPLATES = files("buntime_host") / "templates"
_SUFFIX = ".template"
_BLANK = re.compile(r"\{\{(\w+)\}\}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)


def write_template(name: str, folder: Path, values: Mapping[str, str] | None = None) -> list[Path]:
    """Copy all files of a template into a folder, which is made if need be; what was written.

    In files that end in `.template`, which theirs do not, and in names, `{{name}}` becomes its
    value. Raises `ConfigError` if one of them is there already, and nothing is written then, or if
    a file cannot be written.
    """
    given = values or {}
    contents = {
        folder / _filled(str(path), given): content
        for path, content in _files_of(_TEMPLATES / name, PurePosixPath(), given)
    }
    for path in contents:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} is there already: nothing was written")
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error
    return sorted(contents)


def write_plugin(name: str, folder: Path) -> list[Path]:
    """Write a new plugin into a folder of that name within `folder`; what was written.

    Raises `ConfigError` as `write_template` does, and for a name that cannot be a path.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a new plugin: it has to be of small letters, digits"
            ' and hyphens, and to begin with a letter, as "my-counter"'
        )
    if f"/{name}" in (*RESERVED, "/api"):
        raise ConfigError(f"the path /{name} is the host's: choose another name")
    words = name.split("-")
    values = {
        "name": name,
        "module": name.replace("-", "_"),
        "title": " ".join(word.capitalize() for word in words if word),
        "type": "".join(word.capitalize() for word in words),
        "variable": name.replace("-", "_").upper(),
        "folder": (folder / name).as_posix(),
    }
    return write_template("plugin", folder / name, values)


def _files_of(
    folder: Traversable, above: PurePosixPath, values: Mapping[str, str]
) -> Iterator[tuple[PurePosixPath, bytes]]:
    for item in folder.iterdir():
        path = above / item.name
        if item.is_dir():
            yield from _files_of(item, path, values)
        elif item.name.endswith(_SUFFIX):
            content = _filled(item.read_text("utf-8"), values)
            yield path.with_name(item.name.removesuffix(_SUFFIX)), content.encode()
        else:
            yield path, item.read_bytes()


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _BLANK.sub(lambda blank: values[blank[1]], text)
