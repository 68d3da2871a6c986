"""A store without a server: what `buntime_keyval.open_kv` opens.

A host of its own with two plugins, whose requests come from this process. So whatever holds for
a server, its limits, its errors, its background work, holds here.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_host import BuntimeError, Host, InProcess, parse_config
from buntime_host.discovery import FoundPlugin, find_module
from buntime_keyval import CannotOpen
from buntime_keyval.embedded import MEMORY, Answered, AnsweredStream, Location

from buntime_plugin_keyval.model.clock import clock_of

_SERVERS = {"libsql": "libsql", "postgres": "postgres", "postgresql": "postgres"}
"""Which engine serves which kind of URL; all others are files."""

_FILES = ("sqlite://", "sqlite:", "file:")
"""What a URL of a file may begin with, the longest first."""


def open_store(location: Location) -> HostedStore:
    """A store at a place, which is not started yet. Raises `CannotOpen`."""
    return HostedStore(location)


class HostedStore:
    """An `EmbeddedStore`."""

    api = "/keyval/api"

    def __init__(self, location: Location) -> None:
        adapter = {**adapter_of(location.url), **location.database}
        try:
            config = parse_config(
                {
                    "plugins": [
                        ["@buntime/plugin-database", {"adapters": [adapter]}],
                        ["@buntime/plugin-keyval", dict(location.keyval)],
                    ],
                    "pluginDirs": [],
                    "strict": True,
                },
                Path.cwd(),
                environ={},
            )
        except BuntimeError as error:
            raise CannotOpen(f"cannot open {location.shown}: {error}") from error
        self._shown = location.shown
        self._file = file_of(adapter, config.base_dir)
        given = () if location.clock is None else (_timed_by(location.clock),)
        self._host = Host(config, environ={}, is_private=True, given=given)
        self._requests = InProcess(self._host, "/keyval")

    async def start(self) -> None:
        """See `EmbeddedStore`."""
        if self._file is not None and (problem := what_hinders(self._file)) is not None:
            raise CannotOpen(f"cannot open {self._shown}: {problem}")
        try:
            await self._host.start()
        except BuntimeError as error:
            raise CannotOpen(f"cannot open {self._shown}: {reason_of(error)}") from error

    async def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answered:
        """See `EmbeddedStore`."""
        response = await self._requests.answer(method, target, _raw(headers), body)
        return Answered(response.status, _read(response.headers), response.content)

    @asynccontextmanager
    async def stream(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> AsyncIterator[AnsweredStream]:
        """See `EmbeddedStore`."""
        async with self._requests.stream(method, target, _raw(headers)) as stream:
            parts = []
            while stream.status != 200 and (part := await stream.read()) is not None:
                parts.append(part)
            answered = Answered(stream.status, _read(stream.headers), b"".join(parts))
            yield AnsweredStream(answered, stream.read)

    async def stop(self) -> None:
        """See `EmbeddedStore`."""
        self._host.announce_closing()
        await self._requests.finish()
        await self._host.stop()


def _timed_by(clock: Callable[[], float]) -> FoundPlugin:
    """The plugin of the store, with another clock than that of the system."""
    from buntime_plugin_keyval.plugin import KeyValPlugin  # of no use to commands, and large

    found = find_module(KeyValPlugin.__module__)
    if found is None:
        raise RuntimeError("plugin-keyval has no manifest")
    entry = partial(KeyValPlugin, clock=clock_of(clock))
    return msgspec.structs.replace(found, source="given", entry=entry)


def adapter_of(url: str) -> dict[str, Any]:
    """The entry of `adapters` for a URL."""
    scheme, _, rest = url.partition("://")
    if scheme == "rqlite":
        return {"type": "rqlite", "urls": [f"http://{rest}"]}
    return {"type": _SERVERS.get(scheme, "sqlite"), "url": url}


def reason_of(error: BaseException) -> str:
    """What a database said why it cannot be opened, without the parts of the host around that."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, DatabaseError):
            return str(cause)
        cause = cause.__cause__
    return str(error)


def file_of(adapter: Mapping[str, Any], base_dir: Path) -> Path | None:
    """The file of the root database of an entry of `adapters`; None where it is in no file."""
    if adapter.get("type") not in ("sqlite", "libsql"):
        return None
    url = str(adapter.get("url") or "")
    for scheme in _FILES:
        if url.startswith(scheme):
            url = url.removeprefix(scheme)
            break
    if url == MEMORY or "://" in url:
        return None
    if url:
        return base_dir / url
    folder = adapter.get("baseDir")
    return base_dir / str(folder) / "_default.db" if folder else None


def what_hinders(file: Path) -> str | None:
    """Why no store can be opened in a file that somebody has typed; None if it can be tried.

    A server makes the folders of its configuration. In a path that was typed, a folder that is
    missing is a misspelt one.
    """
    if not file.parent.is_dir():
        return f"there is no folder {file.parent}: make it, or correct the path"
    return f"{file} is a folder: name a file in it" if file.is_dir() else None


def _raw(headers: Mapping[str, str]) -> Iterable[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]


def _read(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("ascii"): value.decode("latin-1") for name, value in headers}
