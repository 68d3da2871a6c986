"""The place of an entry's or a message's value in SQLite: in its row, or beside it, if it is
long.
"""

from __future__ import annotations

INLINE_BYTES = 768
"""Bytes of a value that stands in its entry; a longer one is in `kv_long_values`.

About as much as leaves the row in one page of its table, of 4 KiB. Of any more SQLite has to follow
the pages of each row that it compares a key with.
"""
SURELY_INLINE = INLINE_BYTES // 4
"""Characters that are no more bytes than that, whichever they are."""

# A subquery rather than a join: it costs something where there is a long value only. One that is
# gone, which another program or a damaged file can have done, is not left out of an answer: it ends
# the statement as malformed JSON, the only error that SQL of any engine can raise by itself.
_LONG_VALUE = (
    "coalesce((SELECT text FROM kv_long_values WHERE id = long_id), json('missing ' || long_id))"
)
VALUE = f"iif(long_id IS NULL, value, {_LONG_VALUE})"
VALUE_SIZE = "octet_length(value) + long_size"

# Comes before a row that refers to it.
ADD_LONG_VALUE = "INSERT INTO kv_long_values (text) VALUES (?)"
ADDED = "(SELECT max(id) FROM kv_long_values)"


def long_size(value: str) -> int:
    """Bytes of a value that is not to stand in its row; 0 for one that is."""
    size = len(value) if value.isascii() else len(value.encode())
    return size if size > INLINE_BYTES else 0


def value_up_to(most: int) -> str:
    """The value, or NULL where it has more bytes than that."""
    return f"CASE WHEN long_id IS NULL THEN value WHEN long_size <= {most} THEN {_LONG_VALUE} END"


def with_value_once(condition: str) -> str:
    """A condition on `value` that has it found once for an entry, not at each look at it.

    It costs more than a few looks at a value in its row. Without a limit, SQLite would move the
    condition into the inner query, and look there.
    """
    return f"(SELECT 1 FROM (SELECT {VALUE} AS value LIMIT 1) WHERE {condition})"
