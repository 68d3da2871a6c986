"""Moves long values out of entries that were written before long values had a table of their own.

They are read in either place, so nothing has to wait for this. Only harmful ones are moved: a value
of a few pages costs its neighbours microseconds, and moving all of those would rewrite large
stores.
"""

from __future__ import annotations

from contextlib import suppress

from buntime_database import Adapter, Guard, GuardFailed, Statement

from buntime_plugin_keyval.storage.maintenance import patient_batch

MOVED_BYTES = 16 * 1024
"""Bytes from which a value is moved. Where an entry has another one, its size does not matter."""

SCANNED = 10_000
"""Most entries that one read looks at."""

STEP_BYTES = 1_000_000
"""Bytes of values after which a commit takes no further one."""

_NEXT = "SELECT next_key FROM kv_moving"
_END = """
SELECT max(key), count(*) FROM (
  SELECT key FROM kv_entries INDEXED BY kv_entries_key WHERE key >= ? ORDER BY key LIMIT ?)"""
_LONG = """
SELECT key, octet_length(value) FROM kv_entries
WHERE key >= ? AND key <= ? AND octet_length(value) > ? ORDER BY key LIMIT ?"""
_STILL = "(SELECT next_key FROM kv_moving) IS ?"
_COPY = """
INSERT INTO kv_long_values (text)
SELECT value FROM kv_entries WHERE key = ? AND octet_length(value) > ?"""
_REFER = """
UPDATE kv_entries SET
  value = '', long_size = octet_length(value), long_id = (SELECT max(id) FROM kv_long_values)
WHERE key = ? AND octet_length(value) > ?"""
_GO_ON = "UPDATE kv_moving SET next_key = ?"
_FINISH = "DELETE FROM kv_moving"


async def move_some(adapter: Adapter) -> bool:
    """Move some of the rest; return whether there may be more. Raises `DatabaseError`."""
    rows = await adapter.query(_NEXT, point=True, fresh=True)
    if not rows:
        return False
    begin = rows[0][0]
    ((end, number),) = await adapter.query(_END, (begin, SCANNED), fresh=True)
    is_last = isinstance(number, int) and number < SCANNED
    steps: list[Statement | Guard] = [Guard(_STILL, (begin,))]
    size = 0
    for key, length in await adapter.query(_LONG, (begin, end, MOVED_BYTES, SCANNED), fresh=True):
        if size > STEP_BYTES:
            is_last, end = False, key
            break
        size += int(length or 0)
        steps += [Statement(_COPY, (key, MOVED_BYTES)), Statement(_REFER, (key, MOVED_BYTES))]
    steps.append(Statement(_FINISH) if is_last else Statement(_GO_ON, (end,)))
    with suppress(GuardFailed):  # another process is at it as well
        await patient_batch(adapter, steps)
    return not is_last
