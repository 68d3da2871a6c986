"""The databases that a move names: adapters of the configuration, or URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import msgspec
from buntime_database import DatabaseService
from buntime_host import Host
from buntime_host.config import HostConfig, PluginEntry
from buntime_host.names import known_name
from buntime_keyval.embedded import MEMORY, Location

from buntime_plugin_keyval.features.moving.checks import MoveRefused
from buntime_plugin_keyval.located import adapter_of, file_of, what_hinders
from buntime_plugin_keyval.storage.database import Database, database_of

DATABASE = "@buntime/plugin-database"

_SERVERS = ("libsql", "rqlite", "postgresql", "postgres")


class NamedDatabase(NamedTuple):
    """A database that a move names, not open yet."""

    name: str
    """Its name in messages, without secrets."""
    entry: Mapping[str, Any]
    """Its entry, as in `adapters`."""
    is_configured: bool
    file: Path | None
    """Its file; None for a database on a server."""

    @property
    def is_missing(self) -> bool:
        """Whether its file is missing or empty."""
        return self.file is not None and not (self.file.exists() and self.file.stat().st_size)


def place_of(config: HostConfig, option: str, text: str) -> NamedDatabase:
    """The database that an option names. Raises `click.BadParameter`."""
    adapters = _adapters(config)
    if text in adapters:
        entry, name, is_configured = adapters[text], text, True
    else:
        url = _url(text, option, adapters)
        entry, name, is_configured = adapter_of(url), Location(url).shown, False
    if MEMORY in (text.removeprefix("file:"), entry.get("url")):
        raise _wrong(option, "a database in memory is gone when this command ends: name a file")
    file = file_of(entry, config.base_dir)
    return NamedDatabase(name, entry, is_configured, file)


def check_files(source: NamedDatabase, target: NamedDatabase) -> None:
    """Raise `MoveRefused` if there is nothing to move, or no place for it."""
    if source.is_missing:
        raise MoveRefused(f"there is no store in {source.name}: see --from")
    if target.file is not None and not target.is_configured:
        problem = what_hinders(target.file)
        if problem is not None:
            raise MoveRefused(f"--to: {problem}")


@asynccontextmanager
async def open_both(
    config: HostConfig, source: NamedDatabase, target: NamedDatabase, *, makes: bool
) -> AsyncIterator[tuple[Database, Database]]:
    """Open both databases. Raises `BuntimeError` or `DatabaseError`.

    Without `makes` no file is created: an empty database in memory stands in for a missing one.
    """
    wanted = target.entry if makes else _left_alone(target)
    here, there = ({**entry, "default": True} for entry in (_left_alone(source), wanted))
    alone = msgspec.structs.replace(
        config,
        plugins=(PluginEntry(index=0, name=DATABASE, options={"adapters": [here]}),),
        workers=1,
        strict=True,
    )
    async with Host(alone, is_private=True) as host:
        databases: DatabaseService = host.service(DATABASE)
        opened = await databases.open_adapter("move", there)
        yield database_of(databases.get_root_adapter()), database_of(opened)


def _url(text: str, option: str, adapters: Mapping[str, Any]) -> str:
    """The URL of a database that is not an adapter. Raises `click.BadParameter`."""
    scheme, separator, _ = text.partition("://")
    if separator and scheme.lower() in _SERVERS:
        return text
    if separator and scheme.lower() != "file":
        known = ", ".join(f"{it}://" for it in _SERVERS)
        raise _wrong(option, f"{scheme}:// is not known: use {known}, or the path of a file")
    path = text.removeprefix("file:")
    if "?" in path:
        raise _wrong(option, "a file has no parameters: leave out the ? and what follows it")
    is_path = path != text or any(sign in text for sign in "/.\\:")
    if path and is_path:
        return f"file:{Path(path).absolute()}"
    known = ", ".join(adapters) or "none"
    raise _wrong(
        option,
        f"{text!r} is not an adapter of the configuration (there: {known}): name one of them, a URL"
        " such as postgresql://…, or the path of a file",
    )


def _wrong(option: str, text: str) -> click.BadParameter:
    return click.BadParameter(text, param_hint=option)


def _left_alone(place: NamedDatabase) -> Mapping[str, Any]:
    """The entry to open a database only for reading."""
    if place.is_missing:
        return {"type": "sqlite", "url": MEMORY}
    if place.entry.get("type") == "sqlite":
        return {**place.entry, "reserve": 0}
    return place.entry


def _adapters(config: HostConfig) -> dict[str, Mapping[str, Any]]:
    for entry in config.plugins or ():
        if known_name(entry.name, {DATABASE}):
            given = entry.options.get("adapters") or [entry.options.get("adapter")]
            return {str(it["type"]): it for it in given if isinstance(it, dict) and "type" in it}
    return {}
