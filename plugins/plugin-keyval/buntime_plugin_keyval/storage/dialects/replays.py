"""Results of writes that came with a key of their callers'."""

from __future__ import annotations

from typing import NamedTuple


class KeepSql(NamedTuple):
    """What keeps the result of a commit, in the same commit.

    Both take: key, fingerprint, versionstamp, what was told as JSON, now.
    """

    keep: str
    """Without counts."""
    keep_long: str
    """The same where what was told was added just before as a long value."""
    keep_with_count: str
    """With the number of rows that the statement before it changed."""


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
