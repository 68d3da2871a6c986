"""Lists whose pages are all of one state of the store."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from buntime_database import Statement

from buntime_plugin_keyval.storage.selection import Selection


class SnapshotSql(NamedTuple):
    """Operations on states of the store."""

    begin: str
    """Begins a transaction whose reads are all of one state, that of its first one."""
    changed_since: str
    """Place, start and end of a range: identity of the log, versionstamp that it has at the place,
    position and versionstamp of what was trimmed last, whether the range was changed behind it."""
    changed_entries: Callable[[Selection, int, int], Statement]
    """Selection, place, now: rows of a number, a key, two texts and a position, NULL where there
    is none. 0 with identity, versionstamp and position of the head of the log, first; 1 with each
    key in the range that was changed behind the place; 2 with key, JSON and value of those that
    are selected, whatever the limit."""
