"""Creates, fills and drops an index in PostgreSQL.

All indexes are rows of the same tables. Triggers keep them up to date, inside the transaction of
the write, whichever process ran it; they are made with the first index and stay, since removing one
from the entries would make all readers wait.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from buntime_database import Guard, Statement

from buntime_plugin_keyval.model.where.paths import parse_path
from buntime_plugin_keyval.storage.dialects.postgres.arguments import numbered
from buntime_plugin_keyval.storage.dialects.postgres.filters.conditions import escaped
from buntime_plugin_keyval.storage.dialects.templates import IN_RANGE
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.storage.searching import Index

FORMAT = 1
"""The present way of building indexes."""

_SET_PATHS = "UPDATE kv_indexes SET paths = $2 WHERE id = $1"
_BEGIN = "SELECT kv_begin_indexing()"

_DROP = ("DELETE FROM kv_docs WHERE index_id = $1", "DELETE FROM kv_indexes WHERE id = $1")

# The fence is that of `rows.entry_of`.
_FILL = numbered(
    f"""
INSERT INTO kv_docs (index_id, doc_key, words)
SELECT id, key, kv_vector(id, value, paths, tokenize)
FROM kv_indexes CROSS JOIN kv_entries
WHERE id = ? AND {IN_RANGE}
  AND NOT EXISTS (SELECT 1 FROM kv_docs WHERE index_id = id AND doc_key = key OFFSET 0)
ORDER BY key"""
)


def create(index: Index) -> list[Statement]:
    """The statements that make an index of its row, and keep it up to date from now on."""
    paths = [
        [escaped(step) if isinstance(step, str) else step for step in parse_path(field)]
        for field in index.options.fields
    ]
    told = msgspec.json.encode(paths).decode()
    return [Statement(_SET_PATHS, (index.id, told)), Statement(_BEGIN)]


def drop(index: Index) -> list[Statement]:
    """The statements that remove an index and all that belongs to it."""
    return [Statement(text, (index.id,)) for text in _DROP]


def fill(index: Index, part: KeyRange) -> list[Statement]:
    """The statement that adds the entries of a range that are not in it."""
    return [Statement(_FILL, (index.id, *part))]


def refit(index: Index) -> Sequence[Statement | Guard]:
    """Nothing: every index is kept up to date as it is."""
    raise AssertionError(f"{index.table} is fit")
