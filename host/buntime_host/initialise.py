"""`buntime init`: the files that a folder begins with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from buntime_host.errors import ConfigError

_TEMPLATES = files("buntime_host") / "templates"


def write_template(name: str, folder: Path) -> list[Path]:
    """Copy all files of a template into a folder, which is made if need be; what was written.

    Raises `ConfigError` if one of them is there already, and nothing is written then, or if a file
    cannot be written.
    """
    contents = {folder / it.name: it.read_bytes() for it in (_TEMPLATES / name).iterdir()}
    for path in contents:
        if path.exists() or path.is_symlink():
            raise ConfigError(f"{path} is there already: nothing was written")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            with path.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise ConfigError(f"cannot write {error.filename}: {error.strerror}") from error
    return sorted(contents)
