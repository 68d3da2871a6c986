"""The interface of an engine: its options, the opening of its root database, its tenants.

An engine of another package is found by the entry point of its name in `ENTRY_POINTS`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, Generic, NamedTuple, Protocol, Self, TypeVar

from buntime_host import Options, Workers, option

from buntime_plugin_database.shared.tenants import OpenDatabase, Tenants

ENTRY_POINTS = "buntime.database.engines"
"""The group of entry points; each names an `Engine`."""

T = TypeVar("T")


class EngineOptions(Options, frozen=True, forbid_unknown_fields=True):
    """The options of every entry of `adapters`; each engine adds its own.

    A misspelt option is an error: durability may hang on it.
    """

    type: Annotated[str, option("The engine", "Each may appear once")]
    default: Annotated[
        bool, option("Use this engine when none is named", "By default the first entry")
    ] = False

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:  # noqa: ARG002 - not here
        """The options with what variables say where the entry says nothing.

        Raises `OptionError` for what types cannot tell.
        """
        return Completed(self)

    def root_tenant(self) -> str | None:
        """The name that no tenant may have, since the root database has it; None without one."""
        return None


class Completed(NamedTuple, Generic[T]):
    """Options as an engine takes them."""

    options: T
    warnings: tuple[str, ...] = ()


class Opening(NamedTuple):
    """The parameters for opening a root database, besides its options."""

    name: str
    """The name of its counters: that of the entry, or of the plugin that asked."""
    base_dir: Path
    """Where relative paths start."""
    workers: Workers
    """The processes that open the same database."""


class RootDatabase(OpenDatabase, Protocol):
    """The root database of an entry."""

    def problem(self) -> str | None:
        """Why it is unusable, as far as known; None if it is usable."""

    async def check(self) -> str | None:
        """The same, checked now if unknown. Answers within seconds."""


OptionsT = TypeVar("OptionsT", bound=EngineOptions)
RootT = TypeVar("RootT", bound=RootDatabase)


class StandIn(NamedTuple):
    """An entry that another engine serves."""

    engine: str
    entry: Mapping[str, Any]
    warnings: tuple[str, ...] = ()


def _stays(entry: Mapping[str, Any], environ: Mapping[str, str]) -> None:
    """An engine that serves all its entries itself."""


class Engine(NamedTuple, Generic[OptionsT, RootT]):
    """One engine."""

    name: str
    """The `type` of its entries."""
    options: type[OptionsT]
    """The type of its entries."""
    open_root: Callable[[OptionsT, Opening], Awaitable[RootT]]
    """Opens the root database of an entry, and waits until it answers.

    Raises `OptionError` and `DatabaseUnavailable`; nothing stays open then.
    """
    tenants: Callable[[OptionsT, RootT, Opening], Tenants]
    """The tenants of an entry, beside its root database. Opens nothing."""
    stand_in: Callable[[Mapping[str, Any], Mapping[str, str]], StandIn | None] = _stays
    """Which other engine serves an entry, asked with the entry and the environment; None for this
    one. Raises `OptionError`."""


AnyEngine = Engine[Any, Any]


@asynccontextmanager
async def closed_on_failure(database: RootDatabase) -> AsyncIterator[None]:
    """Close an opened resource unless the body completes."""
    try:
        yield
    except BaseException:
        await database.close()
        raise
