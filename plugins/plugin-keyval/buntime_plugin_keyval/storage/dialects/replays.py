"""Results of writes that came with a key of their callers'."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from buntime_database import Statement

KeptRow: TypeAlias = tuple[str, bytes, str, str, int]
"""Key, fingerprint, versionstamp, what was told as JSON, now."""


class KeepSql(NamedTuple):
    """What keeps the result of a commit, in the same commit."""

    keep: Callable[[KeptRow], Sequence[Statement]]
    """Without counts."""
    keep_with_count: str
    """As a `KeptRow` says, with the number of rows that the statement before it changed."""


class ReplaysSql(NamedTuple):
    """Operations on kept results. Counts are texts: numbers with a comma behind each."""

    keep: KeepSql
    """For a commit with a firm versionstamp."""
    keep_late: KeepSql
    """For one that may get a later versionstamp, which is kept then."""
    keep_count: str
    """Key: adds the number of rows that the statement before it changed to the counts."""
    not_kept: str
    """Condition of a guard. Key: nothing is kept under it."""
    find: str
    """Key: fingerprint, versionstamp, what was told, counts."""
    forget: str
    """Time, how many to keep, limit: of so many of the oldest removes those that are older than
    that, or beyond the newest so many."""
