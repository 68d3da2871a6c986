"""The databases that a move names: adapters of the configuration, or URLs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from buntime_database import DatabaseService
from buntime_host import Host
from buntime_host.config import HostConfig, PluginEntry
from buntime_host.names import known_name
from buntime_keyval.embedded import Location

from buntime_plugin_keyval.embedded import adapter_of
from buntime_plugin_keyval.features.moving.checks import MoveRefused
from buntime_plugin_keyval.storage.database import Database, database_of

DATABASE = "@buntime/plugin-database"


class NamedDatabase(NamedTuple):
    """A database that is not open."""

    name: str
    """For people, without secrets."""
    entry: Mapping[str, Any]
    """As `adapters` has it."""
    is_configured: bool


def place_of(config: HostConfig, text: str) -> NamedDatabase:
    """What `--from` or `--to` says. Raises `MoveRefused`."""
    adapters = _adapters(config)
    if text in adapters:
        return NamedDatabase(text, adapters[text], is_configured=True)
    if "://" not in text and not text.startswith("file:"):
        if "/" not in text and "." not in text:
            known = ", ".join(adapters) or "none"
            raise MoveRefused(
                f"{text} is no adapter of the configuration (there: {known}): name one of them, a"
                " URL such as postgresql://…, or the path of a file"
            )
        text = f"file:{Path(text).absolute()}"
    return NamedDatabase(Location(text).shown, adapter_of(text), is_configured=False)


@asynccontextmanager
async def open_both(
    config: HostConfig, source: NamedDatabase, target: NamedDatabase
) -> AsyncIterator[tuple[Database, Database]]:
    """Open both databases. Raises `BuntimeError` or `DatabaseError`."""
    entry = {**source.entry, "default": True}
    alone = msgspec.structs.replace(
        config,
        plugins=(PluginEntry(index=0, name=DATABASE, options={"adapters": [entry]}),),
        workers=1,
        strict=True,
    )
    async with Host(alone, is_private=True) as host:
        databases: DatabaseService = host.service(DATABASE)
        there = await databases.open_adapter("move", {**target.entry, "default": True})
        yield database_of(databases.get_root_adapter()), database_of(there)


def _adapters(config: HostConfig) -> dict[str, Mapping[str, Any]]:
    for entry in config.plugins or ():
        if known_name(entry.name, {DATABASE}):
            given = entry.options.get("adapters") or [entry.options.get("adapter")]
            return {str(it["type"]): it for it in given if isinstance(it, dict) and "type" in it}
    return {}
