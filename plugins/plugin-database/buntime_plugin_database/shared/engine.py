"""What an engine is to the plugin: its options, how its root database is opened, its tenants.

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
    """What every entry of `adapters` has; each engine adds options of its own.

    A misspelt option is an error: durability may hang on it.
    """

    type: Annotated[str, option("The engine", "Each once")]
    default: Annotated[bool, option("Use it when none is named", "By default the first entry")] = (
        False
    )

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
    """What a root database is opened with, besides its options."""

    name: str
    """Under which its numbers are counted: that of the entry, or of the plugin that asked."""
    base_dir: Path
    """Where relative paths start."""
    workers: Workers
    """The processes that open the same database."""


class RootDatabase(OpenDatabase, Protocol):
    """What an engine opens for an entry."""

    def problem(self) -> str | None:
        """What makes it unfit to be used, as far as it is known; None if nothing does."""
        ...

    async def check(self) -> str | None:
        """The same, asked now where that is not known. Answers within seconds."""
        ...


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
    """What an entry may say."""
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
    """Close what is opened unless the body, which waits for it, comes to its end."""
    try:
        yield
    except BaseException:
        await database.close()
        raise
