"""What a writer leaves in the database, in each of its commits, so that a lost answer can be asked.

A group of writes begins with a claim: it notes the group's number in the writer's row, and fails
unless the number is higher than all before. So no group is ever committed twice, whoever repeats
its request. Statements whose results matter are followed by a note of what they gave.

Who asks takes the write lock, reads what the last group was, and raises the fence: the group that
is asked for cannot be committed after that, even if its request is still on its way.
"""

from __future__ import annotations

import re
import secrets
from typing import Any, NamedTuple

import msgspec
from buntime_database import DatabaseError, DatabaseUnavailable, OutcomeUnknown, ResultSet

from buntime_plugin_database.engines.libsql.errors import translate_step
from buntime_plugin_database.engines.libsql.steps import control, negated, worked
from buntime_plugin_database.engines.libsql.transport import Json
from buntime_plugin_database.engines.libsql.values import decode_result

WRITERS = "buntime_writers"
RESULTS = "buntime_results"

KEPT_MS = 24 * 60 * 60 * 1000
"""How long the row of a writer stays after its last commit: no request is under way longer."""

# Without rowids, so that last_insert_rowid() stays that of the statement before a note.
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

_MISSING = re.compile(rf"no such table: (?:main\.)?(?:{WRITERS}|{RESULTS})\b")

# Of the functions that can fail, json_extract is the one whose error repeats a text of ours.
_CLAIM = f"""
INSERT INTO {WRITERS} VALUES ('{{writer}}', {{group}}, 0, {{now}})
ON CONFLICT (writer) DO UPDATE SET
  at = excluded.at,
  grp = CASE WHEN excluded.grp > max(grp, fence) THEN excluded.grp
        ELSE json_extract('{{{{}}}}', 'a later request has taken the place of this one') END"""
_QUESTION_STEPS = 8
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
"""What statements gave, by the position of their batch in the group and their own in the batch."""


class TablesMissing(DatabaseError):
    """The tables of this module are not there yet, so nothing was committed."""


class Told(NamedTuple):
    """What became of a group."""

    was_committed: bool
    results: Results


class Witness:
    """The notes of one writer. Its numbers are not to be shared by processes."""

    def __init__(self) -> None:
        self._writer = secrets.token_hex(8)
        self._has_tables = False
        self._clean_at_ms = 0
        self.group = 0
        """The number of the group that is being committed, or was last."""

    def opening(self, now_ms: int) -> list[str]:
        """Begin the next group: what comes in front of its writes."""
        self.group += 1
        tables = () if self._has_tables else CREATE
        self._has_tables = True
        return [*tables, self._claim(now_ms), *self._cleaning(now_ms)]

    def forget_tables(self) -> None:
        """Make the tables again with the next group."""
        self._has_tables = False

    def _claim(self, now_ms: int) -> str:
        return _CLAIM.format(writer=self._writer, group=self.group, now=now_ms)

    def note(self, batch: int, step: int, rows: str | None) -> str:
        """Keep what the last statement gave; `rows` is SQL for the JSON array of its rows."""
        place = f"'{self._writer}', {batch}, {step}, {self.group}"
        return f"{_NOTE} ({place}, changes(), last_insert_rowid(), {rows or 'NULL'})"

    def _cleaning(self, now_ms: int) -> list[str]:
        """What removes, now and then, the notes of writers that are gone."""
        if now_ms < self._clean_at_ms:
            return []
        self._clean_at_ms = now_ms + KEPT_MS
        return [_FORGET_WRITERS.format(since=now_ms - KEPT_MS), _FORGET_RESULTS]

    def question(self, now_ms: int) -> list[Json]:
        """The request that asks what became of the last group, and keeps it from happening late."""
        texts = [
            text.format(writer=self._writer, group=self.group, now=now_ms)
            for text in (_LAST_GROUP, _LAST_RESULTS, _FENCE)
        ]
        steps = [control("BEGIN IMMEDIATE")]
        for text in (*CREATE, *texts):
            steps.append(control(text, worked(len(steps) - 1), want_rows=True))
        commit = len(steps)
        steps.append(control("COMMIT", worked(commit - 1)))
        steps.append(control("ROLLBACK", negated(worked(commit))))
        return steps

    def read_reply(self, reply: Json) -> Told:
        """What the answer to the question says. Raises `DatabaseError` if it says nothing."""
        results, errors = step_outcomes(reply, _QUESTION_STEPS)
        for error in errors[:-1]:
            if error is not None:
                raise error_of(error)
        group, notes, _, committed, _ = results[-5:]
        if committed is None:
            raise OutcomeUnknown("the server did not say what became of the write")
        told: Results = {}
        for batch, step, changed, rowid, rows in decode_result(notes).rows:
            place = int(batch or 0), int(step or 0)
            told[place] = _result(int(changed or 0), int(rowid or 0), rows)
        return Told(decode_result(group).rows == [(self.group,)], told)


def step_outcomes(answer: Json, steps: int) -> tuple[list[Any], list[Any]]:
    """Results and errors of the steps of a request. Raises `OutcomeUnknown`."""
    results, errors = answer.get("step_results"), answer.get("step_errors")
    if not isinstance(results, list) or not isinstance(errors, list):
        raise OutcomeUnknown("the server's answer has no steps")
    if len(results) != steps or len(errors) != steps:
        raise OutcomeUnknown("the server's answer has not as many steps as the request")
    return results, errors


def error_of(error: Any) -> DatabaseError:
    """The error of one step."""
    if not isinstance(error, dict):
        return DatabaseUnavailable("the server rolled back without a reason")
    message = str(error.get("message"))
    if _MISSING.search(message):
        return TablesMissing(message)
    return translate_step(message, error.get("code"))


def _result(changed: int, rowid: int, rows: object) -> ResultSet:
    columns: tuple[str, ...] = ()
    values = []
    if rows is not None:
        for row in msgspec.json.decode(str(rows), type=list[dict[str, Any]]):
            columns = tuple(row)
            values.append(tuple(row.values()))
    return ResultSet(columns, values, changed, rowid or None if changed else None)
