"""All of SQLite's dialect."""

from __future__ import annotations

from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.sqlite.filters.printing import print_filter
from buntime_plugin_keyval.storage.dialects.sqlite.log import LOG
from buntime_plugin_keyval.storage.dialects.sqlite.queue import QUEUE
from buntime_plugin_keyval.storage.dialects.sqlite.replays import REPLAYS

SQLITE = Dialect(name="sqlite", filter=print_filter, log=LOG, queue=QUEUE, replays=REPLAYS)
