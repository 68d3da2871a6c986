"""What must hold between all that has values and the table of the long ones."""

from __future__ import annotations

from typing import Any

from buntime_plugin_keyval.storage.dialects.sqlite.values import INLINE_BYTES
from keyval.service.world import World

LONG = "é" * INLINE_BYTES
"""A value that is kept beside its entry."""

_REFERENCES = """
SELECT long_id, value, long_size FROM kv_entries
UNION ALL SELECT long_id, value, long_size FROM kv_queue
UNION ALL SELECT long_id, value, long_size FROM kv_dlq"""

FAULTS = {
    "a long value that nothing has": f"""
SELECT id FROM kv_long_values
WHERE id NOT IN (SELECT long_id FROM ({_REFERENCES}) WHERE long_id IS NOT NULL)""",
    "something without its long value, or with another one": f"""
SELECT long_id FROM ({_REFERENCES}) LEFT JOIN kv_long_values ON id = long_id
WHERE long_id IS NOT NULL AND (octet_length(text) IS NOT long_size OR value <> '')""",
    "something that has no value": f"""
SELECT value FROM ({_REFERENCES}) WHERE long_id IS NULL AND (value = '' OR long_size <> 0)""",
    "a long value of several": f"""
SELECT long_id FROM ({_REFERENCES})
WHERE long_id IS NOT NULL GROUP BY long_id HAVING count(*) > 1""",
}
"""Statements that find nothing, by what they would find."""

OF_POSTGRES = {
    "wrong totals": """
SELECT kv_totals.entries, kv_totals.bytes, stored.*
FROM kv_totals, (
  SELECT count(*) AS entries, coalesce(sum(octet_length(key) + octet_length(value)), 0) AS bytes
  FROM kv_entries) AS stored
WHERE kv_totals.entries <> stored.entries OR kv_totals.bytes <> stored.bytes""",
}
"""The same where the server keeps long values by itself."""


async def faults(world: World) -> dict[str, list[tuple[Any, ...]]]:
    """What is wrong; nothing should be."""
    is_postgres = world.adapter.capabilities.dialect == "postgres"
    faults = OF_POSTGRES if is_postgres else FAULTS
    found = {what: await world.rows(sql) for what, sql in faults.items()}
    return {what: rows for what, rows in found.items() if rows}


async def long_values(world: World) -> int:
    """How many there are."""
    ((number,),) = await world.rows("SELECT count(*) FROM kv_long_values")
    return int(number)
