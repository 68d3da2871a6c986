"""All of PostgreSQL's dialect."""

from __future__ import annotations

from buntime_database import Adapter

from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.getting import GetsTogether
from buntime_plugin_keyval.storage.dialects.postgres.committing import GroupCommit
from buntime_plugin_keyval.storage.dialects.postgres.consumers import CONSUMERS
from buntime_plugin_keyval.storage.dialects.postgres.filters.printing import print_filter
from buntime_plugin_keyval.storage.dialects.postgres.locks import LOCKS
from buntime_plugin_keyval.storage.dialects.postgres.log import LOG
from buntime_plugin_keyval.storage.dialects.postgres.metrics import METRICS
from buntime_plugin_keyval.storage.dialects.postgres.moving import MOVING
from buntime_plugin_keyval.storage.dialects.postgres.patterns import PATTERNS
from buntime_plugin_keyval.storage.dialects.postgres.queue import QUEUE
from buntime_plugin_keyval.storage.dialects.postgres.queues import QUEUES
from buntime_plugin_keyval.storage.dialects.postgres.reads import READS, get_together
from buntime_plugin_keyval.storage.dialects.postgres.replays import REPLAYS
from buntime_plugin_keyval.storage.dialects.postgres.schedules import SCHEDULES
from buntime_plugin_keyval.storage.dialects.postgres.schema import SCHEMA
from buntime_plugin_keyval.storage.dialects.postgres.search.operations import SEARCH
from buntime_plugin_keyval.storage.dialects.postgres.snapshots import SNAPSHOTS
from buntime_plugin_keyval.storage.dialects.postgres.tasks import TASKS
from buntime_plugin_keyval.storage.dialects.postgres.watch import WATCH
from buntime_plugin_keyval.storage.dialects.postgres.writes import WRITES


async def _nothing_to_do(adapter: Adapter) -> bool:  # noqa: ARG001 - as all dialects have it
    """See `Dialect.upkeep`: no older version has written to such a database."""
    return False


POSTGRES = Dialect(
    name="postgres",
    schema=SCHEMA,
    filter=print_filter,
    reads=READS,
    patterns=PATTERNS,
    writes=WRITES,
    log=LOG,
    watch=WATCH,
    snapshots=SNAPSHOTS,
    queue=QUEUE,
    queues=QUEUES,
    locks=LOCKS,
    consumers=CONSUMERS,
    tasks=TASKS,
    schedules=SCHEDULES,
    search=SEARCH,
    replays=REPLAYS,
    metrics=METRICS,
    moving=MOVING,
    getting=lambda adapter: GetsTogether(adapter, get_together),
    committing=GroupCommit,
    upkeep=_nothing_to_do,
)
