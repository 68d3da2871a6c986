"""What must hold between entries and the table of their long values."""

from __future__ import annotations

from typing import Any

from buntime_plugin_keyval.storage.dialects.sqlite.values import INLINE_BYTES
from keyval.service.world import World

LONG = "é" * INLINE_BYTES
"""A value that is kept beside its entry."""

FAULTS = {
    "a long value that no entry has": """
SELECT id FROM kv_long_values
WHERE id NOT IN (SELECT long_id FROM kv_entries WHERE long_id IS NOT NULL)""",
    "an entry without its long value, or with another one": """
SELECT key_json FROM kv_entries LEFT JOIN kv_long_values ON id = long_id
WHERE long_id IS NOT NULL AND (octet_length(text) IS NOT long_size OR value <> '')""",
    "an entry that has no value": """
SELECT key_json FROM kv_entries WHERE long_id IS NULL AND (value = '' OR long_size <> 0)""",
    "a long value of two entries": """
SELECT long_id FROM kv_entries
WHERE long_id IS NOT NULL GROUP BY long_id HAVING count(*) > 1""",
}
"""Statements that find nothing, by what they would find."""


async def faults(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """What is wrong; nothing should be."""
    found = {what: await world.rows(sql) for what, sql in FAULTS.items()}
    return {what: rows for what, rows in found.items() if rows}


async def long_values(world: World) -> int:
    """How many there are."""
    ((number,),) = await world.rows("SELECT count(*) FROM kv_long_values")
    return int(number)
