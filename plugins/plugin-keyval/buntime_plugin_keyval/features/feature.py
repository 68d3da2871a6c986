"""What a feature is: a part of the store in a folder of its own, put together by one value.

`Feature` says what is known before anything runs: name, routes, numbers, tables. Its `make` makes a
`Part` for each store, which runs between `start` and `close`. The features of this plugin are
listed in `service.py`; nothing else has to know of another one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, TypeAlias, TypeVar

from buntime_database import Adapter

from buntime_plugin_keyval.config import KeyValConfig
from buntime_plugin_keyval.engine.additions import CheckParsers, MutationParsers
from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.requests.asked import Routes
from buntime_plugin_keyval.storage.dialects.registry import UnknownDialect
from buntime_plugin_keyval.storage.schema import migrate

P = TypeVar("P", covariant=True)


class Measure(NamedTuple):
    """A number that is told of the store."""

    name: str
    """In Prometheus' form, behind `keyval_`."""
    text: str
    """What it says, for people."""
    place: str
    """Where it is in the JSON form: `queue.pending`."""
    is_counter: bool = False
    """Whether it only grows, until the process ends."""
    labels: tuple[str, ...] = ()
    """What tells the numbers of one measure apart, where it has several."""


Labelled: TypeAlias = Mapping[str, Mapping[tuple[str, ...], float]]
"""Numbers by the names of their measures, and by their labels."""


class Part:
    """What a feature runs in one store. Whatever it does not have, it inherits from here."""

    @property
    def loops(self) -> Mapping[str, Loop]:
        """Its background work, by what it does: one that ends by itself is a fault of the store."""
        return {}

    @property
    def mutations(self) -> MutationParsers:
        """Further types of mutations that a commit may hold."""
        return {}

    @property
    def checks(self) -> CheckParsers:
        """Further checks that a commit may hold."""
        return {}

    async def begin(self) -> None:
        """Go on where the store ended, before anything is asked of it. Raises `DatabaseError`."""

    def start(self) -> None:
        """Start the loops."""
        for loop in self.loops.values():
            loop.start()

    def numbers(self) -> Mapping[str, float]:
        """What is known of its measures without asking the database, by name."""
        return {}

    async def stored_numbers(self) -> Mapping[str, float]:
        """The rest, by a few small reads. Raises `DatabaseError`."""
        return {}

    async def labelled_numbers(self) -> Labelled:
        """Those of measures with labels, by a few small reads. There have to be few of them,
        whatever clients do: who collects them keeps each for long. Raises `DatabaseError`."""
        return {}

    async def clean_up(self, limit: int) -> int:  # noqa: ARG002 - for those who have something
        """Remove at most so much of what is too old; how much. Called again until that is 0."""
        return 0

    async def needs_behind(self) -> int | None:
        """The position behind which it still needs the change log; None if it needs nothing of it.
        Raises `DatabaseError`."""
        return None

    async def end_streams(self) -> None:
        """Let connections that wait for something end. Idempotent."""

    async def close(self) -> None:
        """Stop, and finish what was accepted. Idempotent."""
        for loop in self.loops.values():
            await loop.stop()


class Ground(NamedTuple):
    """What parts are made of."""

    config: KeyValConfig
    store: Store
    client_of: Callable[[Mapping[str, Any]], str | None]
    """Who a request counts for: see `PluginContext`."""
    parts: Mapping[str, Any]
    """Those of all features by name; complete when the last one is made."""


class Feature(NamedTuple, Generic[P]):
    """One part of what the store can do."""

    name: str
    make: Callable[[Ground], P]
    """A `Part`, or None where the options say that it is not wanted."""
    routes: Routes = MappingProxyType({})
    """Their endpoints get the part."""
    measures: Sequence[Measure] = ()
    """Numbers that its part knows."""
    stored_measures: Sequence[Measure] = ()
    """Numbers that its part asks the database for."""
    labelled_measures: Sequence[Measure] = ()
    """Of these, such as have labels."""
    migrations: Path | None = None
    """The folder with the migrations of its own tables, in a folder for each dialect. A number is
    never used again."""


AnyFeature = Feature[Any]


async def migrate_features(adapter: Adapter, now_ms: int, features: Sequence[AnyFeature]) -> None:
    """Bring the tables of features up to date, each by its own series. See `schema.migrate`.

    Raises `UnknownDialect` for one that has none for this database.
    """
    for feature in features:
        if feature.migrations is not None:
            ledger = f"kv_{feature.name}_migrations"
            dialect = adapter.capabilities.dialect
            folder = feature.migrations / dialect
            if not folder.is_dir():
                raise UnknownDialect(
                    f"the feature {feature.name} has no migrations for {dialect}, the dialect of "
                    f"the engine {adapter.type}: use another engine, or give it a folder {dialect}"
                )
            await migrate(adapter, now_ms, folder=folder, ledger=ledger)
