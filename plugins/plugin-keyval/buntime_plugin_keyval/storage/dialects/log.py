"""The change log: its operations, and its notes beside the changes.

A position is the place of a change in the log. A later change has a greater one, and nothing else
may be assumed outside of a dialect: positions are compared, never counted with, and there may be
any number of others between two successive ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from buntime_database import ResultSet

CHANGE = "seq, key, operation, versionstamp, at"

ACTION = """CASE
    WHEN operation <> 'set' THEN operation WHEN revision = 1 THEN 'create' ELSE 'update' END"""
"""What a change did to its entry."""

HEAD_COLUMNS = "epoch, coalesce(seq, 0) AS newest, coalesce(versionstamp, '') AS newest_stamp"
"""Of the log joined with its newest change, if it ever had one."""


class Appended(NamedTuple):
    """The changes that one statement appended to the log."""

    before: int | None
    """Position of the change that they follow; 0 if they are the first ones, None if the engine
    did not say."""
    last: int
    """Position of the last one."""
    number: int
    """Their number; there is nothing else among them."""


class LogSql(NamedTuple):
    """Operations on the log. A place in it is the position of a change, and 0 before all."""

    appended: Callable[[ResultSet], Appended | None]
    """Reads the result of a statement that logs: see `EntrySql`. None if it logged nothing."""
    changes: str
    """Place, limit: position, key, operation, versionstamp and time of what is behind it."""
    changes_in_range: str
    """Place, start and end of a range, limit: the same of keys in the range."""
    last_changes: str
    """Position, number: the same of so many changes that end with that one, the last one first."""
    records: str
    """Two places, start and end of a range, type or NULL, action or NULL, limit: of the changes
    behind the first place and up to the second, of keys in the range, of such entries and of that
    kind: position, key, action, versionstamp, time, revision, type, and bytes of the value or NULL.
    What is set for the first time was created, else updated."""
    values: str
    """The same without the limit: position, key and value of those that have one."""
    reach: str
    """Place, number: position of the last of so many changes behind it; NULL for none."""
    since: str
    """Time: position of the first change that is not older; no row if all are."""
    forget_values: str
    """Start and end of a range, two texts: the values of all changes there are removed that begin
    with neither text."""
    size: str
    """The number of changes."""
    head: str
    """Identity of the log, position and versionstamp of its newest change: 0 and empty if none."""
    known: str
    """Place: identity of the log, the versionstamp of the change there, and position and
    versionstamp of the last change that was trimmed; NULL for what there is not."""
    newest_stamp: str
    """The greatest versionstamp of a commit; see `versionstamps.py`."""
    note_stamp: str
    """Versionstamp: it becomes the newest one. Refused by a constraint unless it is greater."""
    note_stamp_late: str
    """Versionstamp: that or one behind the newest, which is the only row, becomes the newest."""
    stamp_of_commit: Callable[[str], str]
    """SQL for the row of a commit's late stamp, as `Batch.recalls` wants it; gets the random part
    of the versionstamp."""
    note_trimmed: str
    """Number, how many to keep, time, position: notes up to where changes are to be trimmed. So
    many of them in one step, older than the newest so many or than that time, up to that position
    at the most, and never the newest of all."""
    note_trimmed_to: str
    """Position: notes that changes are to be trimmed up to there, but for the newest of all."""
    trim: str
    """Removes what was noted."""
