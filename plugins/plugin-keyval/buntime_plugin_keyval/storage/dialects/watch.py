"""Reads for watchers: the states of keys, with the places in the log that they are of.

Each of these is one statement, so one snapshot. Keys are JSON arrays of hexadecimal texts, ranges
are arrays of pairs of them.
"""

from __future__ import annotations

from typing import NamedTuple


class WatchSql(NamedTuple):
    """Operations that read the log and what keys hold. They show what has expired, too, and in news
    and states a value of more than `LONG_VALUE` bytes as these bytes.

    A head is the identity of the log, position and versionstamp of its newest change.
    """

    changed_keys: str
    """Place, limit: position, key and versionstamp of the change there, if the log has it, and of
    what is behind it."""
    news: str
    """What keys hold that were changed behind a place: those of some keys, and all whose last
    change is behind another place.

    The one place, the other place, keys, limit, bytes, a third place or NULL, number: in each row
    the head; the versionstamps that the log has at the first and the third place; position and
    versionstamp of what was trimmed last; how many keys there are. Then for each key, in the order
    of the last changes: key, versionstamp of the first of its changes, position and versionstamp of
    the last, value, versionstamp and expiry. No more than `limit` keys with so many bytes of
    values, but the first `number` in any case; NULLs if there is none.
    """
    states: str
    """What keys and the first entries of ranges hold.

    Keys, ranges, limit for the ranges, bytes, number: in each row the head, and how many states
    there are. Then key, value, versionstamp and expiry of each. No more than so many bytes of
    values, but the first `number` in any case; NULLs if there is none.
    """
    poll: str
    """What ranges hold for a client that knows some versionstamps.

    Those as a JSON object by key, ranges, now, limit, bytes: key and versionstamp of what the
    client knows and is there; and of the first `limit` that it does not know, these with their
    values: no more than so many bytes, but the first one in any case.
    """
