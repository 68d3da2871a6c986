"""All operations of one dialect.

A text takes its arguments in the order that its operation names them in, whatever places it has
for them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple, TypeAlias

from buntime_database import Adapter, Batch, DatabaseError, ResultSet, Statement

from buntime_plugin_keyval.storage.dialects.consumers import ConsumerSql
from buntime_plugin_keyval.storage.dialects.filters import FilterSql
from buntime_plugin_keyval.storage.dialects.locks import LockSql
from buntime_plugin_keyval.storage.dialects.log import LogSql
from buntime_plugin_keyval.storage.dialects.metrics import MetricsSql
from buntime_plugin_keyval.storage.dialects.moving import MovingSql
from buntime_plugin_keyval.storage.dialects.patterns import PatternSql
from buntime_plugin_keyval.storage.dialects.queue import QueueSql
from buntime_plugin_keyval.storage.dialects.queues import QueuesSql
from buntime_plugin_keyval.storage.dialects.reads import Getting, ReadSql
from buntime_plugin_keyval.storage.dialects.replays import ReplaysSql
from buntime_plugin_keyval.storage.dialects.schedules import SchedulesSql
from buntime_plugin_keyval.storage.dialects.schema import SchemaSql
from buntime_plugin_keyval.storage.dialects.search import SearchSql
from buntime_plugin_keyval.storage.dialects.snapshots import SnapshotSql
from buntime_plugin_keyval.storage.dialects.tasks import TaskSql
from buntime_plugin_keyval.storage.dialects.watch import WatchSql
from buntime_plugin_keyval.storage.dialects.writes import WriteSql

Outcome: TypeAlias = list[ResultSet] | DatabaseError
"""The results of a batch's steps, or why nothing of it was done."""

Statements: TypeAlias = Sequence[Statement]
"""In the order in which they are run."""

Committing: TypeAlias = Callable[[Sequence[Batch]], Awaitable[Sequence[Outcome]]]
"""Commits batches in their order, each all or nothing on its own: as `Adapter.batch_each`."""


class Dialect(NamedTuple):
    """The statements of a family of engines, by subject."""

    name: str
    """Its name in the `Capabilities` of adapters."""
    schema: SchemaSql
    filter: FilterSql
    reads: ReadSql
    patterns: PatternSql
    writes: WriteSql
    log: LogSql
    watch: WatchSql
    snapshots: SnapshotSql
    queue: QueueSql
    queues: QueuesSql
    locks: LockSql
    consumers: ConsumerSql
    tasks: TaskSql
    schedules: SchedulesSql
    search: SearchSql
    replays: ReplaysSql
    metrics: MetricsSql
    moving: MovingSql
    getting: Callable[[Adapter], Getting]
    """Reads single keys of one database, one by one or several together."""
    committing: Callable[[Adapter], Committing | None]
    """Commits groups of writes to one database: it knows the statements of this dialect, and
    combines them for the engine; it passes other groups on unchanged. None where the engine's own
    way is the best."""
    upkeep: Callable[[Adapter], Awaitable[bool]]
    """Brings some data of an older version up to date, in the background; returns whether there may
    be more. Raises `DatabaseError`."""
