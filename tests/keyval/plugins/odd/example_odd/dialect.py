"""What the key-value store says to the engine.

Most of it is what it says to SQLite, with arguments of another style.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from buntime_database import Adapter, Guard, Statement
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.reads import one_by_one
from buntime_plugin_keyval.storage.dialects.sqlite.consumers import LAG
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE

from .numbered import numbered
from .writes import appended, write_sql

T = TypeVar("T")


def restyled(operation: T) -> T:
    """An operation, or all of a subject, with arguments in the style of this engine."""
    found: Any = operation
    if isinstance(found, str):
        found = numbered(found)
    elif isinstance(found, Statement):
        found = found._replace(sql=numbered(found.sql))
    elif isinstance(found, Guard):
        found = found._replace(condition=numbered(found.condition))
    elif isinstance(found, list):
        found = [*map(restyled, found)]
    elif isinstance(found, dict):
        found = {name: restyled(member) for name, member in found.items()}
    elif found is None or isinstance(found, Path | int):
        pass  # no SQL
    elif isinstance(found, tuple):
        made = map(restyled, found)
        found = type(found)(*made) if hasattr(found, "_fields") else tuple(made)
    elif callable(found):
        found = _restyling(found)
    return found  # type: ignore[no-any-return] # of the same type


def _restyling(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *args, **options: restyled(function(*args, **options))


async def nothing_to_do(adapter: Adapter) -> bool:
    """See `Dialect`: there are no older versions."""
    return False


_OURS: Dialect = restyled(SQLITE)
_COUNTED = "(SELECT count(*) FROM kv_changes WHERE seq > position)"

ODD = _OURS._replace(
    name="odd",
    upkeep=nothing_to_do,
    getting=one_by_one(_OURS.reads.get_short),
    filter=SQLITE.filter,  # a condition gets its numbers with the statement that it is part of
    writes=write_sql(_OURS.writes._replace(have_stamps=SQLITE.writes.have_stamps)),
    consumers=_OURS.consumers._replace(
        state=_OURS.consumers.state.replace(LAG, _COUNTED),
        states=_OURS.consumers.states.replace(LAG, _COUNTED),
    ),
    log=_OURS.log._replace(
        appended=appended,
        size="SELECT count(*) FROM kv_changes",
        note_trimmed="""
UPDATE kv_log SET trimmed_seq = last.seq, trimmed_stamp = last.versionstamp
FROM (
  SELECT seq, versionstamp FROM (SELECT * FROM kv_changes ORDER BY seq LIMIT $1)
  WHERE seq <= $4 AND seq < (SELECT max(seq) FROM kv_changes) AND (at < $3 OR seq < (
    SELECT seq FROM kv_changes ORDER BY seq DESC LIMIT 1 OFFSET $2 - 1))
  ORDER BY seq DESC LIMIT 1) AS last""",
    ),
)
