"""Writing the new database of the store to the configuration file."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import NamedTemporaryFile

from buntime_host.config import HostConfig
from buntime_host.names import known_name
from buntime_host.options.jsonc_edit import with_value

from buntime_plugin_keyval.features.moving.checks import MoveRefused

KEYVAL = "@buntime/plugin-keyval"


def check_config(config: HostConfig, path: Path | None) -> None:
    """Raise `MoveRefused` if another database cannot be written to the file."""
    entry = next((it for it in config.plugins or () if known_name(it.name, {KEYVAL})), None)
    if path is None or entry is None:
        raise MoveRefused(f"--write-config needs a configuration file that lists {KEYVAL}")
    if entry.options.get("libsqlUrl"):
        raise MoveRefused(
            "--write-config: libsqlUrl names the store: replace it by hand with database"
        )


def write_config(config: HostConfig, path: Path, database: str) -> None:
    """Set the option `database` of this plugin; the rest of the file is left as it is.

    Raises `OSError`.
    """
    entry = next(it for it in config.plugins or () if known_name(it.name, {KEYVAL}))
    text = path.read_text("utf-8")
    start = text[:1] if text.startswith("\ufeff") else ""
    body = text[len(start) :]
    options = {"database": database}
    try:
        body = with_value(body, ["plugins", entry.index, 1, "database"], database)
    except KeyError:  # it is listed without options
        body = with_value(body, ["plugins", entry.index], [entry.name, options])
    _replace(path, start + body)


def _replace(path: Path, text: str) -> None:
    path = path.resolve()
    with NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=path.parent, delete=False
    ) as file:
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, path.stat().st_mode & 0o777)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
