"""`buntime init` and `buntime new-plugin`: write the first files of a folder."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath

from buntime_host.errors import ConfigError
from buntime_host.plugins.discovery import Catalogue
from buntime_host.plugins.selection import RESERVED

_TEMPLATES = files(__package__) / "templates"
_SUFFIX = ".template"
_BLANK = re.compile(r"\{\{(\w+)\}\}")
_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)


FIRST_PLUGIN = "hello"
"""The folder of plugins in a new project, which its configuration names."""


def write_project(kind: str, folder: Path) -> list[Path]:
    """Write the first files of a folder: `app`, a host, or `plugin`, a plugin with a host to try
    it.

    Returns the files written. The folder is made if needed. Raises `ConfigError` if one of the
    files exists already, in which case none is written, or if a file cannot be written.
    """
    if kind == "app":
        return _write(_contents("app", folder, {}))
    plugin = _plugin_contents(FIRST_PLUGIN, folder / "plugins", Path("plugins"))
    return _write(_contents("project", folder, {}) | plugin)


def write_plugin(name: str, folder: Path, known: Catalogue) -> list[Path]:
    """Write a new plugin into a folder of that name within `folder`; return the files written.

    Raises `ConfigError` as `write_project` does, for a name that cannot be a path, and for the name
    of a known plugin.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a new plugin: it has to be of small letters, digits"
            ' and hyphens, and to begin with a letter, as "my-counter"'
        )
    if f"/{name}" in (*RESERVED, "/api"):
        raise ConfigError(f"the path /{name} is the host's: choose another name")
    taken = known.find(name) or next(
        (one for one in known.found.values() if one.manifest.base == f"/{name}"), None
    )
    if taken is not None and taken.manifest.dir.resolve() != (folder / name).resolve():
        raise ConfigError(
            f"{name} is taken: {taken.manifest.name} ({taken.source}) has that name, or the path"
            f" /{name}; choose another name"
        )
    return _write(_plugin_contents(name, folder, folder))


def _plugin_contents(name: str, folder: Path, seen: Path) -> dict[Path, bytes]:
    """The files of a new plugin; `seen` is the folder as its users name it."""
    words = name.split("-")
    values = {
        "name": name,
        "module": name.replace("-", "_"),
        "title": " ".join(word.capitalize() for word in words if word),
        "type": "".join(word.capitalize() for word in words),
        "variable": name.replace("-", "_").upper(),
        "folder": (seen / name).as_posix(),
    }
    return _contents("plugin", folder / name, values)


def _contents(template: str, folder: Path, values: Mapping[str, str]) -> dict[Path, bytes]:
    """The files of a template.

    Names lose the ending `.template`. In files that have it, and in names, `{{name}}` becomes its
    value.
    """
    return {
        folder / _filled(str(path), values): content
        for path, content in _files_of(_TEMPLATES / template, PurePosixPath(), values)
    }


def _write(contents: Mapping[Path, bytes]) -> list[Path]:
    for path in contents:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} already exists: nothing was written")
    try:
        for path, content in contents.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error
    return sorted(contents)


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
