"""Batches as the statements of one transaction, and the outcome of each in the answer.

A node runs the statements of a request one after another; the first that fails undoes all, and the
answer ends with its error. So all of them are plain writes: a failing statement with RETURNING
would be carried out in part, and a query gives nothing. Rows that a caller wants are noted in the
same transaction by the statement that `Batch.recalls` has for them, and read afterwards. A guard is
a write that violates a constraint where its condition does not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from buntime_database import (
    Batch,
    DatabaseError,
    Guard,
    GuardFailed,
    InvalidStatement,
    OutcomeUnknown,
    ResultSet,
    Statement,
)

from buntime_plugin_database.engines.rqlite.errors import error_of
from buntime_plugin_database.engines.rqlite.nodes import StatementResults
from buntime_plugin_database.engines.rqlite.values import Json, encode_statement
from buntime_plugin_database.shared.statements import (
    asks_for_changes,
    classify,
    first_word,
    gives_rows,
    guard_query,
    inserts,
    tokens_of,
    without_returning,
)
from buntime_plugin_database.shared.witness import Results as Noted
from buntime_plugin_database.shared.witness import Witness, looks_at_changes, notes_of

GUARDS = "buntime_guards"
CREATE_GUARDS = f"CREATE TABLE IF NOT EXISTS {GUARDS} (broken INTEGER NOT NULL)"
"""Always empty: every write to it fails."""

_BROKEN = f"NOT NULL constraint failed: {GUARDS}.broken"
_NOTHING = ResultSet((), [], 0)
_DIFFERENT = frozenset({"CURRENT_TIME", "CURRENT_DATE", "CURRENT_TIMESTAMP"})
_CHANCE = frozenset({"RANDOM", "RANDOMBLOB"})
_TIME = frozenset({"DATE", "TIME", "DATETIME", "JULIANDAY", "UNIXEPOCH", "STRFTIME", "TIMEDIFF"})
_COUNTED = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "WITH"})


class PlainBatch(NamedTuple):
    """A batch with checked statements, ready to be sent."""

    steps: list[Json]
    guards: frozenset[int]
    counted: frozenset[int]
    """Steps that change rows."""
    inserting: frozenset[int]
    bounded: bool
    size: int
    """Bytes of its texts, roughly."""
    notes: dict[int, str | None]
    """Steps whose results are kept, with the SQL for their rows."""
    notes_at_end: bool
    """Whether a note behind its own step would change the results of the batch itself."""
    is_tellable: bool
    """Whether all that the caller wants to know is kept."""

    @property
    def is_empty(self) -> bool:
        return not self.steps

    @property
    def has_rows(self) -> bool:
        """Whether rows are to be read after the commit."""
        return any(rows is not None for rows in self.notes.values())


class ClusterRequest(NamedTuple):
    """The statements of a transaction, and where each step of each batch is among them."""

    statements: list[Json]
    places: list[list[int]]


class FailedBatch(NamedTuple):
    """The batch that undid the transaction, by its position, and why."""

    batch: int
    error: DatabaseError


def encode_batch(batch: Batch) -> PlainBatch:
    """Check a batch here, so that its mistakes cannot touch those that share its transaction.

    Raises `InvalidStatement`.
    """
    steps: list[Json] = []
    guards, counted, inserting = set[int](), set[int](), set[int]()
    size = 0
    for number, step in enumerate(batch.steps):
        if isinstance(step, Guard):
            guards.add(number)
            sql = _guard_sql(step.condition)
        elif isinstance(step, Statement):
            if classify(step.sql) == "read":
                raise InvalidStatement("a batch on rqlite only writes: use query() to read")
            sql = without_returning(step.sql) if _would_tell(step.sql) else step.sql
            if first_word(sql) in _COUNTED:
                counted.add(number)
            if inserts(sql):
                inserting.add(number)
            if number - 1 in guards and asks_for_changes(sql):
                raise InvalidStatement("behind a guard, changes() is not that of a statement here")
        else:
            raise InvalidStatement(f"a batch has statements and guards, not {step!r:.80}")
        _check_sameness(sql)
        encoded = encode_statement(sql, step.args)
        steps.append(encoded)
        size += sum(len(part) if isinstance(part, str) else 8 for part in encoded)
    notes, is_tellable, at_end = _notes(batch)
    kinds = frozenset(guards), frozenset(counted), frozenset(inserting)
    return PlainBatch(steps, *kinds, batch.bounded, size, notes, at_end, is_tellable)


def _notes(batch: Batch) -> tuple[dict[int, str | None], bool, bool]:
    """The part that is kept, whether that is everything wanted, and whether it is kept at the
    end.
    """
    recalls = batch.recalls or {}
    numbers = range(len(batch.steps)) if batch.wanted is None else batch.wanted
    for number in numbers:
        step = batch.steps[number]
        if isinstance(step, Statement) and number not in recalls and _would_tell(step.sql):
            raise InvalidStatement(
                "rqlite gives no rows of a statement that writes: read them with query()"
                f" afterwards, instead of {step.sql:.80}"
            )
    if looks_at_changes(batch.steps):
        kept: dict[int, str | None] = {
            number: recalls[number] for number in numbers if number in recalls
        }
        return kept, not numbers, True  # their counts are not
    notes, is_tellable = notes_of(batch)
    return notes, is_tellable, False


def make_request(batches: Sequence[PlainBatch], witness: Witness, now_ms: int) -> ClusterRequest:
    """One transaction, the witness's next group."""
    statements: list[Json] = [[sql] for sql in witness.opening(now_ms)]
    places: list[list[int]] = []
    for number, batch in enumerate(batches):
        own: list[int] = []
        later: list[Json] = []
        for position, statement in enumerate(batch.steps):
            own.append(len(statements))
            statements.append(statement)
            if position in batch.notes:
                note = [witness.note(number, position, batch.notes[position])]
                (later if batch.notes_at_end else statements).append(note)
        statements += later
        places.append(own)
    return ClusterRequest(statements, places)


def failure_in(
    sent: ClusterRequest, batches: Sequence[PlainBatch], results: StatementResults
) -> FailedBatch | None:
    """Which batch failed, if one did; raises the error if it is one of all of them.

    Raises `OutcomeUnknown` if the answer does not tell.
    """
    for place, result in enumerate(results):
        message = result.get("error")
        if message is None:
            continue
        error = error_of(str(message))
        for number in range(len(batches) - 1, -1, -1):
            if sent.places[number][0] <= place:
                is_guard = place in {sent.places[number][step] for step in batches[number].guards}
                if is_guard and _BROKEN in str(message):
                    error = GuardFailed(sent.places[number].index(place))
                return FailedBatch(number, error)
        if isinstance(error, InvalidStatement):  # the claim: the group may be written already
            raise OutcomeUnknown(str(message)) from error
        raise error
    if len(results) != len(sent.statements):
        raise OutcomeUnknown("the node's answer has not as many results as the request statements")
    return None


def results_in(
    sent: ClusterRequest, number: int, batch: PlainBatch, results: StatementResults
) -> list[ResultSet]:
    """The results of a batch's steps, without rows."""
    return [_result(batch, step, results[place]) for step, place in enumerate(sent.places[number])]


def _result(batch: PlainBatch, step: int, result: dict[str, object]) -> ResultSet:
    # For a statement that changes no rows, a node repeats the numbers of the previous one.
    if step not in batch.counted:
        return _NOTHING
    changed, rowid = result.get("rows_affected", 0), result.get("last_insert_id", 0)
    if not isinstance(changed, int) or not changed:
        return _NOTHING
    inserted = rowid if step in batch.inserting and isinstance(rowid, int) else None
    return ResultSet((), [], changed, inserted or None)


def with_rows(
    outcome: list[ResultSet], number: int, batch: PlainBatch, noted: Noted
) -> list[ResultSet]:
    """The same with the noted rows."""
    filled = list(outcome)
    for step, rows in batch.notes.items():
        note = noted.get((number, step))
        if rows is not None and note is not None:
            filled[step] = filled[step]._replace(columns=note.columns, rows=note.rows)
    return filled


def recalled(number: int, batch: PlainBatch, noted: Noted) -> list[ResultSet] | OutcomeUnknown:
    """The results of a batch whose answer was lost."""
    if not batch.is_tellable:
        return OutcomeUnknown(
            "the write was carried out, but what it returned was lost with the node's answer"
        )
    return [noted.get((number, step), _NOTHING) for step in range(len(batch.steps))]


def _would_tell(sql: str) -> bool:
    """Whether a statement that writes would give rows; a PRAGMA that sets something gives none."""
    return gives_rows(sql) and first_word(sql) != "PRAGMA"


@lru_cache(maxsize=1024)
def _check_sameness(sql: str) -> None:
    """Refuse functions whose results differ between nodes: time and chance.

    Some versions put a value in the place of `random()`, none does so everywhere.
    """
    tokens = tokens_of(sql)
    differs = set(_DIFFERENT.intersection(tokens))
    for word, (bracket, argument) in zip(tokens, pairwise([*tokens[1:], "", ""]), strict=False):
        if bracket == "(" and (
            word in _CHANCE or (word in _TIME and (argument == ")" or "'now'" in sql.lower()))
        ):
            differs.add(word)
    if differs:
        raise InvalidStatement(
            f"{min(differs)} differs from node to node, and rqlite has each carry out the text:"
            " bind the value as an argument"
        )


@lru_cache(maxsize=1024)
def _guard_sql(condition: str) -> str:
    guard_query(condition)  # refuses text that is more than an expression
    return f"INSERT INTO {GUARDS} SELECT NULL WHERE NOT (({condition}\n) IS TRUE)"
