"""Results of writes with idempotency keys.

One row has those of a commit. Its place is the number of results kept so far.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from buntime_database import ResultSet


class ReplaysSql(NamedTuple):
    """Operations on kept results. The newest row is that of this commit, once it has one."""

    none_since: str
    """Condition of a guard. Place, keys as an array in JSON: nothing is kept under any of them in
    rows behind that place, and there is one at it or behind it, or none at all and the place is
    0."""
    keep: str
    """How many, now, their keys with a line feed in front of each and behind the last one,
    fingerprints behind each other, versionstamps with commas between them, what was told as an
    array in JSON, or nothing where that is null for all: adds a row behind all others, without
    counts. Its place is in the only row that it gives, or else it is the rowid."""
    kept_place: str
    """SQL for a row with that place, as `Batch.recalls` wants it."""
    keep_stamp: str
    """Versionstamp that was made for this commit: the newest row has the later one instead, if the
    commit has got one."""
    keep_count: str
    """Text: adds it, the number of rows that the statement before it changed, and a comma to the
    counts of the newest row."""
    bounds: str
    """The places of the oldest and of the newest row, 0 if there is none."""
    news: str
    """Place, limit: places and keys of so many rows behind it, in order."""
    find: str
    """Place: keys, fingerprints, versionstamps, counts and what was told."""
    forget: str
    """Time, how many to keep, limit: of so many of the oldest removes those that are older than
    that, or have none of the newest so many; but never the newest row."""
    forget_newest: str
    """Time: empties the newest row if it is older than that, and is not empty."""
    seal_told: Callable[[bytes, str], str] | None = None
    """Fingerprint, what was told of values: the JSON that is kept in its place. No SQL, and not of
    a dialect: see `storage/sealed.py`."""
    open_told: Callable[[bytes, str], str] | None = None
    """The other way round, of whatever is kept."""


def place_of(result: ResultSet) -> int | None:
    """The place of kept results, from the result of the statement that keeps them; None if it is
    unknown.

    An engine that asks for a commit's results after a lost answer may not know all of them.
    """
    return result.rows[0][0] if result.rows else result.lastrowid  # type: ignore[return-value] # an integer
