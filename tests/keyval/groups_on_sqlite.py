"""Two databases of SQLite's family, one of which is told of groups in few statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from buntime_database import Adapter, Batch, DatabaseError, Guard, GuardFailed, Statement
from buntime_plugin_keyval.model.versionstamps import Stamps
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.dialects.sqlite.committing import FewStatements
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE
from buntime_plugin_keyval.storage.dialects.sqlite.grouping import LOGGING
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE
from buntime_plugin_keyval.storage.dialects.sqlite.writes import LATE, LOG_REMOVE_ONE_LATE
from buntime_plugin_keyval.storage.effects import stamp_of_commit
from buntime_plugin_keyval.storage.schema import migrate
from keyval.groups import Groups, told
from keyval.service.world import NOW_MS

OF_LOG = "substr(versionstamp, 20)"
TABLES = {
    "kv_entries": f"key, key_json, {VALUE}, {OF_LOG}, expires_at, metadata, created_at, updated_at",
    "kv_changes": f"seq, key, {OF_LOG}, operation, at",
    "kv_queue": f"seq, id, {VALUE}, ready_at, visible_at, attempts, max_attempts,"
    " backoff_schedule, keys_if_undelivered, created_at, set_at",
    "kv_totals": "entries, bytes",
    "kv_long_values": "text",
}


STAMPED = {LATE.log: 1, LOG_REMOVE_ONE_LATE: 0, SQLITE.log.note_stamp_late: 0}
"""Where statements have the stamp that was made."""


class Recalling:
    """An adapter that gives the rows of what a batch recalls, as engines on a network do.

    SQLite on a file needs no such thing; while nobody else writes, they are as good afterwards.
    """

    def __init__(self, adapter: Adapter) -> None:
        self.adapter = adapter
        self.calls: list[Sequence[Batch]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self.adapter, name)

    async def batch_each(self, batches: Sequence[Batch]) -> list[Outcome]:
        self.calls.append(batches)
        if not self.adapter.capabilities.embedded:
            return await self.adapter.batch_each([*map(_recalling_stamps, batches)])
        outcomes = await self.adapter.batch_each(batches)
        for batch, outcome in zip(batches, outcomes, strict=True):
            for step, rows in (batch.recalls or {}).items():
                if isinstance(outcome, list):
                    ((text,),) = await self.adapter.query(f"SELECT {rows}")
                    recalled = [tuple(row.values()) for row in msgspec.json.decode(str(text))]
                    outcome[step] = outcome[step]._replace(rows=recalled)
        return outcomes


def _recalling_stamps(batch: Batch) -> Batch:
    """A batch that asks for the late stamps of its statements, as the store does."""
    stamps = {
        number: str(step.args[STAMPED[step.sql]])
        for number, step in enumerate(batch.steps)
        if isinstance(step, Statement) and step.sql in STAMPED
    }
    own = {number: stamp_of_commit(SQLITE, stamp) for number, stamp in stamps.items()}
    return batch._replace(recalls={**own, **(batch.recalls or {})})


def _places(batches: Sequence[Batch], outcomes: Sequence[Outcome]) -> list[Any]:
    """Where in the log the changes of each commit are."""
    return [
        SQLITE.log.appended(result)
        for batch, outcome in zip(batches, outcomes, strict=True)
        if not isinstance(outcome, DatabaseError)
        for step, result in zip(batch.steps, outcome, strict=True)
        if not isinstance(step, Guard) and step.sql in LOGGING
    ]


async def compare(one: Adapter, other: Adapter, number: int, *, is_firm: bool) -> None:
    """Commit so many groups in few statements on one, and with all of theirs on the other."""
    for adapter in (one, other):
        await migrate(adapter, NOW_MS)
    recalling = Recalling(one)
    together = FewStatements(recalling)
    whole = failed = 0
    groups = Groups(SQLITE, 7, is_firm=is_firm)
    there: dict[bytes, tuple[str, int | None]] = {}
    for count in range(number):
        if not is_firm and count % 3 == 0:
            groups.stamps = Stamps()  # as of a host whose clock is behind
            groups.now = NOW_MS
        batches = groups.make(there)
        recalling.calls.clear()
        ours, theirs = await together(batches), await other.batch_each(batches)
        assert told(batches, ours) == told(batches, theirs)
        assert _places(batches, ours) == _places(batches, theirs)
        whole += len(batches) > 1 and all(len(call) == 1 for call in recalling.calls)
        failed += sum(isinstance(outcome, GuardFailed) for outcome in ours)
        for table, columns in TABLES.items():
            rows = f"SELECT {columns} FROM {table} ORDER BY 1"
            assert await one.query(rows) == await other.query(rows), table
        entries = await one.query("SELECT key, versionstamp, expires_at FROM kv_entries")
        there = {key: (stamp, expires_at) for key, stamp, expires_at in entries}  # type: ignore[misc] # as the schema says
        stamps = await one.query("SELECT versionstamp FROM kv_changes ORDER BY seq")
        assert stamps == sorted(stamps)
        newest = SQLITE.log.newest_stamp
        assert not is_firm or await one.query(newest) >= await other.query(newest)
    assert whole > 0.4 * number
    assert failed > 0.1 * number
