"""All of SQLite's dialect."""

from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.sqlite.committing import committing
from buntime_plugin_keyval.storage.dialects.sqlite.consumers import CONSUMERS
from buntime_plugin_keyval.storage.dialects.sqlite.filters.printing import print_filter
from buntime_plugin_keyval.storage.dialects.sqlite.locks import LOCKS
from buntime_plugin_keyval.storage.dialects.sqlite.log import LOG
from buntime_plugin_keyval.storage.dialects.sqlite.long_values import move_some
from buntime_plugin_keyval.storage.dialects.sqlite.metrics import METRICS
from buntime_plugin_keyval.storage.dialects.sqlite.moving import MOVING
from buntime_plugin_keyval.storage.dialects.sqlite.patterns import PATTERNS
from buntime_plugin_keyval.storage.dialects.sqlite.queue import QUEUE
from buntime_plugin_keyval.storage.dialects.sqlite.queues import QUEUES
from buntime_plugin_keyval.storage.dialects.sqlite.reads import READS, getting
from buntime_plugin_keyval.storage.dialects.sqlite.replays import REPLAYS
from buntime_plugin_keyval.storage.dialects.sqlite.schedules import SCHEDULES
from buntime_plugin_keyval.storage.dialects.sqlite.schema import SCHEMA
from buntime_plugin_keyval.storage.dialects.sqlite.search.operations import SEARCH
from buntime_plugin_keyval.storage.dialects.sqlite.snapshots import SNAPSHOTS
from buntime_plugin_keyval.storage.dialects.sqlite.tasks import TASKS
from buntime_plugin_keyval.storage.dialects.sqlite.watch import WATCH
from buntime_plugin_keyval.storage.dialects.sqlite.writes import WRITES

SQLITE = Dialect(
    name="sqlite",
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
    getting=getting,
    committing=committing,
    upkeep=move_some,
)
