"""A store in this process: what a distribution that brings one promises, and how it is found.

This package has no store. The distribution `buntime` brings one, in the module `STORE`, whose
function `open_store` makes an `EmbeddedStore` of a `Location`. Clients send it what they would send
a server, so that whatever holds for one holds for the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import warnings
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from buntime_keyval._errors import CannotOpen
from buntime_keyval._importing import lasting

STORE = "buntime_plugin_keyval.embedded"
"""Found by its name: to read the entry points of all packages takes longer than to open it."""

MEMORY = ":memory:"
"""Stands for a store that is gone when it is closed."""

_HOST = re.compile(r"(?:\[[^\]]+\]|[^:\[\]]*)(?::[0-9]{1,5})?")
"""A host of a URL, with or without a port."""


class Location(NamedTuple):
    """Where the data of a store are, and the options of what serves them."""

    url: str
    """Such as `file:/var/lib/app/data.db`, `:memory:`, `libsql://…`, `postgresql://…`."""
    database: Mapping[str, Any] = {}
    """Further options of the database engine."""
    keyval: Mapping[str, Any] = {}
    """Options of the store, as the plugin has them."""
    clock: Callable[[], float] | None = None
    """What tells its time, in epoch seconds; None for that of the system."""

    @property
    def is_memory(self) -> bool:
        """Whether nobody else can open it."""
        return self.url == MEMORY

    @property
    def engine(self) -> str:
        """What has the data: `sqlite`, `libsql`, `rqlite` or `postgresql`."""
        scheme, separator, _ = self.url.partition("://")
        if not separator:
            return "sqlite"
        return {"file": "sqlite", "postgres": "postgresql"}.get(scheme.lower(), scheme.lower())

    @property
    def shown(self) -> str:
        """The URL for messages, without what may be secret."""
        scheme, separator, _ = self.url.partition("://")
        if not separator:
            return self.url.partition("?")[0]
        try:
            parts = urlsplit(self.url)
        except ValueError:
            return f"{scheme}://…"
        who, _, server = parts.netloc.rpartition("@")
        # A password with characters that are not quoted ends anywhere, or nowhere.
        unquoted = "@" in who + parts.path + parts.query + parts.fragment
        if unquoted or not all(map(_HOST.fullmatch, server.split(","))):
            return f"{scheme}://…"
        return f"{scheme}://{server}{parts.path}"


class Answered(NamedTuple):
    """The whole answer to a request."""

    status: int
    headers: Mapping[str, str]
    """Names in small letters."""
    content: bytes


class AnsweredStream(NamedTuple):
    """The answer to a request for an event stream."""

    answered: Answered
    """Its head; with its content, unless it is a 200."""
    read: Callable[[], Awaitable[bytes | None]]
    """The next part of the content of a 200; None when there is no more."""


class EmbeddedStore(Protocol):
    """A store that runs in the event loop that started it."""

    @property
    def api(self) -> str:
        """Path below which requests are for it, such as `/keyval/api`."""

    async def start(self) -> None:
        """Open it, with all that runs in the background. Raises `CannotOpen`."""

    async def answer(
        self, method: str, target: str, headers: Mapping[str, str], body: bytes | None
    ) -> Answered:
        """Answer a request. Who is cancelled does not know whether it was done."""

    def stream(
        self, method: str, target: str, headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[AnsweredStream]:
        """An event stream, which ends with the context."""

    async def stop(self) -> None:
        """Close it. Idempotent."""


Opener = Callable[[Location], EmbeddedStore]


class Embedded:
    """What makes stores of one place: one for each event loop that asks."""

    def __init__(self, location: Location) -> None:
        """Raises `CannotOpen` where no distribution brings a store."""
        self.location = location
        self._open = _opener(location)
        self._made = 0
        self._process = 0

    def make(self) -> EmbeddedStore:
        """A store that is not started. Raises `CannotOpen`."""
        self._made += 1
        self._process = os.getpid()
        if self.location.url.startswith("file:"):
            _refuse_after_fork(self.location.url)
        if self.location.is_memory and self._made > 1:
            raise CannotOpen(
                "a store in memory belongs to the event loop, and the process, that used it first:"
                " open another one there, or give the path of a file"
            )
        return self._open(self.location)

    @property
    def is_of_this_process(self) -> bool:
        """Whether it was this one that made a store, and not one that it is a copy of."""
        return self._process == os.getpid()

    def warn_unclosed(self, dropped: object) -> None:
        """Say that nobody has closed a store that was opened."""
        text = f"unclosed store {self.location.shown}: open it in a with block, or close it"
        warnings.warn(text, ResourceWarning, stacklevel=2, source=dropped)


_files: dict[str, int] = {}
"""Files that were opened, and by which process."""


def _refuse_after_fork(url: str) -> None:
    """Raise `CannotOpen` in a child of a process that had the file open.

    A child has a copy of what SQLite knows of its locks, and takes those of its parent for its own:
    https://www.sqlite.org/howtocorrupt.html#_carrying_an_open_database_across_a_fork_
    """
    path = os.path.realpath(url.partition(":")[2].partition("?")[0])
    if _files.setdefault(path, os.getpid()) != os.getpid():
        raise CannotOpen(
            f"{path} was opened before the fork of this process: open it in a process that was"
            " started anew (subprocess, or multiprocessing with spawn), or after the fork alone"
        )


def _opener(location: Location) -> Opener:
    if STORE not in sys.modules:
        if importlib.util.find_spec(STORE.partition(".")[0]) is None:
            raise CannotOpen(
                f"cannot open {location.shown}: a store in this process comes with the"
                " distribution buntime: pip install buntime"
            )
        with lasting():
            importlib.import_module(STORE)
    opener: Opener = sys.modules[STORE].open_store
    return opener
