"""Consumers of the stream, and what each of them could not process."""

from __future__ import annotations

from typing import NamedTuple

LOCK_MARK = "\x01"
"""In front of the name of a consumer, it is that of the lock which its instances hold: names that
callers give to locks have no such character."""

LETTER = (
    "position, key, action, versionstamp, at, revision, type, octet_length(value), error, attempts,"
    " failed_at, requeued"
)


class ConsumerSql(NamedTuple):
    """Operations on consumers and their dead letters. A position is one of the log.

    A consumer is done with all records up to its position, and behind that with none.
    """

    begin: str
    """Name, now: a consumer of that name begins before all records that are there, unless there is
    one already."""
    holds: str
    """A condition with name of a lock, token, owner or NULL, now, position: the lock is held under
    this token (by this owner), and the log has a change at that position or behind it."""
    advance: str
    """Name, position, now: it is done up to there; a position never goes back."""
    settle: str
    """Name, position: removes the letter of that record if it is to be delivered once more."""
    fail: str
    """Name, position, error, now: it is done with what is before that record, which failed once
    more. Nothing where it is done with the record itself."""
    bury: str
    """Name, position, attempts, now: keeps the record as a dead letter if it failed so often."""
    skip: str
    """Name, position, attempts: it is done with a record that failed so often, and is kept."""
    fail_again: str
    """Name, position, error, attempts, now: a letter that was delivered once more failed again; it
    is not delivered any more after so many times."""
    move: str
    """Name, position, now: it is done up to there, wherever it was, be it that it is new."""
    unlock: str
    """Name of a lock: ends it, under any owner."""
    remove: str
    """Name: removes the consumer."""
    state: str
    """Name, now: its name, position, the time when that was said or found to be up to date, the
    position of the record that failed last, how often and why, or NULL; owner and end of its lock,
    or NULL; how many changes are behind its position, and the position of the first letter that
    is to be delivered once more, or NULL."""
    states: str
    """First name, the one behind the last or NULL, now, limit: the same of several, in the order of
    their names."""
    letters: str
    """Name, position, limit: letters of records behind that one, in their order: position, key,
    action, versionstamp, time, revision, type, bytes of the value or NULL, error, attempts, time it
    failed, and whether it is to be delivered once more."""
    letter: str
    """Name, position: that row of the letter of one record."""
    letter_values: str
    """Name, two positions: position, key and value of the letters from the first one to the second
    one that have a value."""
    requeue: str
    """Name, position or NULL: lets that letter, or all of them, be delivered once more."""
    remove_letters: str
    """Name, position or NULL: removes that letter, or all of them."""
    forget_values: str
    """As `LogSql.forget_values`, of letters."""
    held: str
    """Time: the least position of those whose own is not from before that; NULL for none."""
