"""A store without a server, as `buntime_keyval.open_kv` opens it.

It is a host of its own with two plugins, whose requests come from this process. So limits, errors
and background work are those of a server.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from buntime_host import BuntimeError, Host, InProcess
from buntime_host.config import private_config
from buntime_host.options.declared import schema_of
from buntime_host.plugins.discovery import FoundPlugin
from buntime_host.plugins.manifest import Manifest
from buntime_keyval import CannotOpen
from buntime_keyval.embedded import Answered, AnsweredStream, Location

from buntime_plugin_keyval.config import KeyValConfig
from buntime_plugin_keyval.located import adapter_of, file_of, reason_of, what_hinders
from buntime_plugin_keyval.model.clock import clock_of
from buntime_plugin_keyval.plugin import DATABASE, KeyValPlugin

KEYVAL = "@buntime/plugin-keyval"
BASE = "/keyval"

_NOWHERE = Path(__file__)
"""Stands for the file of a manifest, of which there is none."""


def open_store(location: Location) -> HostedStore:
    """Make a store at a location, not started yet. Raises `CannotOpen`."""
    return HostedStore(location)


class HostedStore:
    """Implements `EmbeddedStore`."""

    api = f"{BASE}/api"

    def __init__(self, location: Location) -> None:
        adapter = {**adapter_of(location.url), **location.database}
        plugins = {DATABASE: {"adapters": [adapter]}, KEYVAL: location.keyval}
        config = private_config(plugins, Path.cwd())
        self._shown = location.shown
        self._file = file_of(adapter, config.base_dir)
        given = (_databases(), _store(location))
        self._host = Host(config, environ={}, is_private=True, given=given)
        self._requests = InProcess(self._host, BASE)

    async def start(self) -> None:
        if self._file is not None and (problem := what_hinders(self._file)) is not None:
            raise CannotOpen(f"cannot open {self._shown}: {problem}")
        try:
            await self._host.start()
        except BuntimeError as error:
            raise CannotOpen(f"cannot open {self._shown}: {reason_of(error)}") from error

    async def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answered:
        response = await self._requests.answer(method, target, _raw(headers), body)
        return Answered(response.status, _read(response.headers), response.content)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> AsyncIterator[AnsweredStream]:
        async with self._requests.stream(method, target, _raw(headers)) as stream:
            parts = []
            while stream.status != 200 and (part := await stream.read()) is not None:
                parts.append(part)
            answered = Answered(stream.status, _read(stream.headers), b"".join(parts))
            yield AnsweredStream(answered, stream.read)

    async def stop(self) -> None:
        self._host.announce_closing()
        await self._requests.finish()
        await self._host.stop()


def _databases() -> FoundPlugin:
    """plugin-database, without a path, since only the store uses it."""
    manifest = Manifest(name=DATABASE, path=_NOWHERE, options={"adapters": []})
    return FoundPlugin(
        manifest=manifest, source="given", module="buntime_plugin_database.plugin:DatabasePlugin"
    )


def _store(location: Location) -> FoundPlugin:
    """The plugin of the store, with the clock of the location.

    Its manifest is about pages and users, which there are none of here, so it is not read.
    """
    manifest = Manifest(
        name=KEYVAL,
        path=_NOWHERE,
        base=BASE,
        dependencies=(DATABASE,),
        schema=schema_of(KeyValConfig) if location.keyval else {},
    )
    clock = None if location.clock is None else clock_of(location.clock)
    return FoundPlugin(
        manifest=manifest, source="given", entry=partial(KeyValPlugin, clock=clock, is_alone=True)
    )


def _raw(headers: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _read(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("latin-1") for name, value in headers}
