"""A writer's notes in the database, left by each of its commits, for the case that an answer is
lost.

For servers that speak SQLite's SQL. A group of writes begins with a claim: it notes the group's
number in the writer's row, and fails unless the number is higher than all before. So no group is
ever committed twice, however often its request is repeated. Statements whose results matter are
followed by a note of these. After a lost answer the writer reads the number of the last group and
raises the fence: the group in question cannot be committed after that, even if its request is still
on its way.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec
from buntime_database import Batch, DatabaseError, Guard, ResultSet, Statement, Value

from buntime_plugin_database.shared.statements import asks_for_changes, gives_rows

WRITERS = "buntime_writers"
RESULTS = "buntime_results"

KEPT_MS = 24 * 60 * 60 * 1000
"""How long a writer's row stays after its last commit: no request is under way for longer."""

# Without rowids, so that last_insert_rowid() remains that of the statement before a note.
CREATE = (
    f"""
CREATE TABLE IF NOT EXISTS {WRITERS} (
  writer TEXT PRIMARY KEY, grp INTEGER NOT NULL, fence INTEGER NOT NULL, at INTEGER NOT NULL
) WITHOUT ROWID""",
    f"""
CREATE TABLE IF NOT EXISTS {RESULTS} (
  writer TEXT, batch INTEGER, step INTEGER, grp INTEGER NOT NULL,
  changed INTEGER NOT NULL, inserted INTEGER NOT NULL, told TEXT,
  PRIMARY KEY (writer, batch, step)
) WITHOUT ROWID""",
)

# Of the functions that can fail, json_extract is the one whose error repeats a text of ours.
_CLAIM = f"""
INSERT INTO {WRITERS} VALUES ('{{writer}}', {{group}}, 0, {{now}})
ON CONFLICT (writer) DO UPDATE SET
  at = excluded.at,
  grp = CASE WHEN excluded.grp > max(grp, fence) THEN excluded.grp
        ELSE json_extract('{{{{}}}}', 'a later request has taken the place of this one') END"""
_MISSING = re.compile(r"no such table: (?:main\.)?buntime_(?:writers|results|guards)\b")
_NOTE = f"REPLACE INTO {RESULTS} VALUES"
_LAST_GROUP = f"SELECT grp FROM {WRITERS} WHERE writer = '{{writer}}'"
_LAST_RESULTS = f"""
SELECT batch, step, changed, inserted, told FROM {RESULTS}
WHERE writer = '{{writer}}' AND grp = {{group}}"""
_FENCE = f"""
INSERT INTO {WRITERS} VALUES ('{{writer}}', 0, {{group}}, {{now}})
ON CONFLICT (writer) DO UPDATE SET at = excluded.at, fence = excluded.fence"""
_FORGET_WRITERS = f"DELETE FROM {WRITERS} WHERE at < {{since}}"
_FORGET_RESULTS = f"DELETE FROM {RESULTS} WHERE writer NOT IN (SELECT writer FROM {WRITERS})"

Results = dict[tuple[int, int], ResultSet]
"""Results of statements, by the position of their batch in the group and their own in the batch."""


class TablesMissing(DatabaseError):
    """The tables that writers leave their notes in are not there yet: nothing was committed."""


class Told(NamedTuple):
    """The outcome of a group."""

    was_committed: bool
    results: Results


class KeptResults(NamedTuple):
    """The results of a batch that have to be noted."""

    wanted: dict[int, str | None]
    """Steps whose results are kept, with the SQL for their rows."""
    is_tellable: bool
    """Whether that is all that the caller wants to know."""


def notes_of(batch: Batch) -> KeptResults:
    """Which results of a batch to note."""
    numbers = range(len(batch.steps)) if batch.wanted is None else batch.wanted
    recalls = batch.recalls or {}
    wanted: dict[int, str | None] = {}
    is_tellable = True
    for number in numbers:
        step = batch.steps[number]
        if isinstance(step, Statement):
            rows = recalls.get(number)
            if rows is None and gives_rows(step.sql):
                is_tellable = False
            else:
                wanted[number] = rows
    if wanted and looks_at_changes(batch.steps):
        return KeptResults({}, False)  # a note would change the results of the batch itself
    return KeptResults(wanted, is_tellable)


def looks_at_changes(steps: Sequence[Statement | Guard]) -> bool:
    """Whether a step asks for the changes of the previous one."""
    return any(
        asks_for_changes(step.sql if isinstance(step, Statement) else step.condition)
        for step in steps
    )


class Witness:
    """The notes of one writer. Its numbers are not to be shared by processes."""

    def __init__(self, *further_tables: str) -> None:
        """`further_tables` are statements that make what else the engine needs for its commits."""
        self._writer = secrets.token_hex(8)
        self._tables = (*CREATE, *further_tables)
        self._has_tables = False
        self._clean_at_ms = 0
        self.group = 0
        """The number of the group that is being committed, or was last."""

    def opening(self, now_ms: int) -> list[str]:
        """Begin the next group: what comes in front of its writes."""
        self.group += 1
        tables = () if self._has_tables else self._tables
        self._has_tables = True
        return [*tables, self._claim(now_ms), *self._cleaning(now_ms)]

    def forget_tables(self) -> None:
        """Make the tables again with the next group."""
        self._has_tables = False

    def _claim(self, now_ms: int) -> str:
        return _CLAIM.format(writer=self._writer, group=self.group, now=now_ms)

    def note(self, batch: int, step: int, rows: str | None) -> str:
        """Note the result of the last statement; `rows` is SQL for the JSON array of its rows."""
        place = f"'{self._writer}', {batch}, {step}, {self.group}"
        return f"{_NOTE} ({place}, changes(), last_insert_rowid(), {rows or 'NULL'})"

    def _cleaning(self, now_ms: int) -> list[str]:
        """The statements that remove, now and then, the notes of writers that are gone."""
        if now_ms < self._clean_at_ms:
            return []
        self._clean_at_ms = now_ms + KEPT_MS
        return [_FORGET_WRITERS.format(since=now_ms - KEPT_MS), _FORGET_RESULTS]

    @property
    def last_group(self) -> str:
        """The query for the number of the last group that was committed; no row if none was."""
        return _LAST_GROUP.format(writer=self._writer)

    @property
    def last_results(self) -> str:
        """The query for the notes of the group, see `results_of`."""
        return _LAST_RESULTS.format(writer=self._writer, group=self.group)

    def fence(self, now_ms: int) -> str:
        """The statement that keeps the group from being committed, unless it is already."""
        return _FENCE.format(writer=self._writer, group=self.group, now=now_ms)


def is_table_missing(message: str) -> bool:
    """Whether an error of SQLite says that one of these tables is missing."""
    return _MISSING.search(message) is not None


def results_of(rows: Iterable[Sequence[Value]]) -> Results:
    """The noted results, from the rows of `Witness.last_results`."""
    results: Results = {}
    for batch, step, changed, rowid, told in rows:
        place = int(batch or 0), int(step or 0)
        results[place] = _result(int(changed or 0), int(rowid or 0), told)
    return results


def _result(changed: int, rowid: int, rows: object) -> ResultSet:
    columns: tuple[str, ...] = ()
    values = []
    if rows is not None:
        for row in msgspec.json.decode(str(rows), type=list[dict[str, Any]]):
            columns = tuple(row)
            values.append(tuple(row.values()))
    return ResultSet(columns, values, changed, rowid or None if changed else None)


def now_ms() -> int:
    """What a claim is noted with, by the clock on the wall."""
    return int(time.time() * 1000)
