"""Two databases of SQLite's family, one of which is told of groups in few statements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from buntime_database import Adapter, Batch, DatabaseError, Guard, GuardFailed, Statement
from buntime_plugin_keyval.model.versionstamps import Stamps, tail_of
from buntime_plugin_keyval.storage.database import database_of
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.dialects.replays import place_of
from buntime_plugin_keyval.storage.dialects.sqlite.committing import FewStatements
from buntime_plugin_keyval.storage.dialects.sqlite.dialect import SQLITE
from buntime_plugin_keyval.storage.dialects.sqlite.grouping import LOGGING
from buntime_plugin_keyval.storage.dialects.sqlite.values import VALUE
from buntime_plugin_keyval.storage.dialects.sqlite.writes import (
    FIRM,
    LATE,
    LOG_REMOVE_FIRM,
    LOG_REMOVE_ONE_LATE,
)
from buntime_plugin_keyval.storage.effects import stamp_of_commit
from buntime_plugin_keyval.storage.replays import (
    FINGERPRINT_BYTES,
    bounds,
    find,
    keep_all,
    keep_count,
    keep_stamp,
)
from buntime_plugin_keyval.storage.schema import migrate
from keyval.groups import Groups, told
from keyval.service.world import NOW_MS

TABLES = ("kv_entries", "kv_changes", "kv_queue", "kv_totals", "kv_long_values")
DIFFERENT = {
    "value": VALUE,
    "versionstamp": "substr(versionstamp, 20)",
    "long_id": "long_id IS NULL",
    "id": "id IS NULL",
}
"""Columns that need not be the same, and what of them is."""

STAMPED = {
    LATE.log: 1,
    LATE.log_anew: 1,
    LOG_REMOVE_ONE_LATE: 0,
    SQLITE.log.note_stamp_late: 0,
}
STAMPS = {
    **STAMPED,
    FIRM.log: 1,
    FIRM.log_anew: 1,
    LOG_REMOVE_FIRM: 0,
    SQLITE.log.note_stamp: 0,
}
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


async def _all_of(adapter: Adapter, table: str) -> str:
    """The query for all columns of a table, whichever it has."""
    found = await adapter.query(f"SELECT name FROM pragma_table_info('{table}') ORDER BY cid")
    names = [str(name) for (name,) in found]
    different = DIFFERENT if "long_id" in names else {**DIFFERENT, "value": "value"}
    shown = ", ".join(different.get(name, name) for name in names)
    return f"SELECT {shown} FROM {table} ORDER BY 1, 2"


def _keyed(batch: Batch, key: str, after: int, *, is_firm: bool) -> Batch:
    """A commit that keeps its result, as the store makes it."""
    steps: list[Guard | Statement] = []
    stamp = ""
    for step in batch.steps:
        steps.append(step)
        if isinstance(step, Statement) and step.sql in STAMPS:
            stamp = str(step.args[STAMPS[step.sql]])
            if step.sql in (LOG_REMOVE_FIRM, LOG_REMOVE_ONE_LATE):
                steps.append(keep_count(SQLITE, stamp))
    if not is_firm:
        steps.append(keep_stamp(SQLITE, stamp))
    told = '{"told":1}' if len(steps) % 2 else ""
    keeping = key, key.rjust(FINGERPRINT_BYTES).encode(), stamp, told
    return Batch([*keep_all(SQLITE, [keeping], after, NOW_MS), *steps], bounded=True)


async def _kept(
    adapter: Adapter, batches: Sequence[Batch], outcomes: Sequence[Outcome], *, is_firm: bool
) -> Any:
    """What is kept of each commit that has a key."""
    found = []
    for batch, outcome in zip(batches, outcomes, strict=True):
        keep = batch.steps[1] if len(batch.steps) > 1 else None
        is_kept = isinstance(keep, Statement) and keep.sql == SQLITE.replays.keep
        if not is_kept or not isinstance(outcome, list) or not isinstance(keep, Statement):
            continue
        place = place_of(outcome[1])
        assert place is not None
        kept = await find(database_of(adapter), place, str(keep.args[2]).strip())
        assert kept is not None
        fingerprint, result = kept
        stamp = result.versionstamp
        given = {row[0] for one in outcome[2:] for row in one.rows}
        assert not given or stamp in given
        shown = stamp if is_firm else tail_of(stamp)
        found.append((fingerprint, shown, result.told, result.counts))
    return found


async def compare(one: Adapter, other: Adapter, number: int, *, is_firm: bool) -> None:
    """Commit so many groups in few statements on one, and with all of theirs on the other."""
    for adapter in (one, other):
        await migrate(adapter, NOW_MS)
    columns = [await _all_of(other, table) for table in TABLES]
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
        if count % 2:
            _, after = await bounds(database_of(one))
            assert (await bounds(database_of(other)))[1] == after
            batches = [
                _keyed(batch, f"{count}.{place}", after, is_firm=is_firm) if place % 3 else batch
                for place, batch in enumerate(batches)
            ]
        recalling.calls.clear()
        ours, theirs = await together(batches), await other.batch_each(batches)
        assert told(batches, ours) == told(batches, theirs)
        assert _places(batches, ours) == _places(batches, theirs)
        kept = [
            await _kept(adapter, batches, outcomes, is_firm=is_firm)
            for adapter, outcomes in ((one, ours), (other, theirs))
        ]
        assert kept[0] == kept[1]
        whole += len(batches) > 1 and all(len(call) == 1 for call in recalling.calls)
        failed += sum(isinstance(outcome, GuardFailed) for outcome in ours)
        for sql in columns:
            assert await one.query(sql) == await other.query(sql), sql
        entries = await one.query("SELECT key, versionstamp, expires_at FROM kv_entries")
        there = {key: (stamp, expires_at) for key, stamp, expires_at in entries}  # type: ignore[misc] # as the schema says
        stamps = await one.query("SELECT versionstamp FROM kv_changes ORDER BY seq")
        assert stamps == sorted(stamps)
        newest = SQLITE.log.newest_stamp
        assert not is_firm or await one.query(newest) >= await other.query(newest)
    assert whole > 0.4 * number
    assert failed > 0.1 * number
