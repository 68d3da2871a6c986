"""Features: parts of the store, each in a folder of its own and defined by one value.

A `Feature` has what is known before anything runs: name, routes, measures, tables. Its `make` makes
a `Part` for each store, which runs between `start` and `close`. The features of this plugin are
listed in `service.py`; a new one needs to be known nowhere else.
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
from buntime_plugin_keyval.engine.shares import Shares
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.requests.asked import Routes
from buntime_plugin_keyval.storage.dialects.registry import UnknownDialect
from buntime_plugin_keyval.storage.schema import migrate

P = TypeVar("P", covariant=True)


class Measure(NamedTuple):
    """A number that the store reports."""

    name: str
    """The Prometheus name, without the prefix `keyval_`."""
    text: str
    """A description for people."""
    place: str
    """Its place in the JSON form, such as `queue.pending`."""
    is_counter: bool = False
    """Whether it only grows while the process runs."""
    labels: tuple[str, ...] = ()
    """The names of its labels, if it has several numbers."""


Labelled: TypeAlias = Mapping[str, Mapping[tuple[str, ...], float]]
"""Numbers by the name of their measure and the values of its labels."""


class Part:
    """What a feature runs in one store; the methods here are defaults that do nothing."""

    @property
    def loops(self) -> Mapping[str, Loop]:
        """Its loops, by what they do. One that ends by itself counts as a failure of the store."""
        return {}

    @property
    def mutations(self) -> MutationParsers:
        """Parsers for further types of mutations in commits."""
        return {}

    @property
    def checks(self) -> CheckParsers:
        """Parsers for further checks in commits."""
        return {}

    async def begin(self) -> None:
        """Prepare the store before its first request. Raises `DatabaseError`."""

    def start(self) -> None:
        """Start the loops."""
        for loop in self.loops.values():
            loop.start()

    def numbers(self) -> Mapping[str, float]:
        """Values of its measures that need no database, by name."""
        return {}

    async def stored_numbers(self) -> Mapping[str, float]:
        """Values of its other measures, by a few small reads. Raises `DatabaseError`."""
        return {}

    async def labelled_numbers(self) -> Labelled:
        """Values of its measures with labels, by a few small reads.

        Their number has to be bounded whatever clients do, since collectors keep each for long.
        Raises `DatabaseError`.
        """
        return {}

    async def clean_up(self, limit: int) -> int:  # noqa: ARG002 - for those who have something
        """Remove at most `limit` rows that are too old; how many. Called again until that is 0."""
        return 0

    async def needs_behind(self) -> int | None:
        """The position after which it still needs the change log; None if it does not need it.

        Raises `DatabaseError`.
        """
        return None

    async def end_streams(self) -> None:
        """End connections that wait. Idempotent."""

    async def close(self) -> None:
        """Stop, and finish work that was accepted. Idempotent."""
        for loop in self.loops.values():
            await loop.stop()


class Ground(NamedTuple):
    """What the parts of a store are made from."""

    config: KeyValConfig
    store: Store
    client_of: Callable[[Mapping[str, Any]], str | None]
    """The client that a request counts against: see `PluginContext`."""
    parts: Mapping[str, Any]
    """The parts of all features, by name; complete when the last one is made."""

    def watchers(self) -> Shares:
        """The room for streams of one kind that are limited like watches."""
        it = self.config.watch
        return Shares("watch.maxWatchers", it.max_watchers, it.max_watchers_per_client)

    def listeners(self) -> Shares:
        """The same, limited like listeners of queues."""
        it = self.config.queue
        return Shares("queue.maxListeners", it.max_listeners, it.max_listeners_per_client)


class Feature(NamedTuple, Generic[P]):
    """One feature of the store, as it is known before anything runs."""

    name: str
    make: Callable[[Ground], P]
    """Makes a `Part`, or None if the options disable the feature."""
    routes: Routes = MappingProxyType({})
    """Routes whose endpoints are called with the part."""
    measures: Sequence[Measure] = ()
    """Measures that its part knows."""
    stored_measures: Sequence[Measure] = ()
    """Measures that its part reads from the database."""
    labelled_measures: Sequence[Measure] = ()
    """Measures with labels that its part reads from the database."""
    migrations: Path | None = None
    """The folder of the migrations of its own tables, with a folder for each dialect. Numbers are
    never reused."""


AnyFeature = Feature[Any]


async def migrate_features(adapter: Adapter, now_ms: int, features: Sequence[AnyFeature]) -> None:
    """Migrate the tables of features, each by its own series. See `schema.migrate`.

    Raises `UnknownDialect` if a feature has no migrations for this database.
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
