"""All operations of one dialect.

A text takes its arguments in the order that its operation names them in, whatever places it has
for them.
"""

from __future__ import annotations

from typing import NamedTuple

from buntime_plugin_keyval.storage.dialects.filters import FilterSql
from buntime_plugin_keyval.storage.dialects.log import LogSql
from buntime_plugin_keyval.storage.dialects.queue import QueueSql
from buntime_plugin_keyval.storage.dialects.replays import ReplaysSql


class Dialect(NamedTuple):
    """How a family of engines is asked, by subject."""

    name: str
    """As adapters call it in their `Capabilities`."""
    filter: FilterSql
    log: LogSql
    queue: QueueSql
    replays: ReplaysSql
