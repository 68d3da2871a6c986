"""Batches as steps of one request, and the outcome of each in the answer.

One request is one transaction: `BEGIN IMMEDIATE`, the writer's claim, the batches, `COMMIT`. A step
runs only if the one before it worked. A guard is a query that raises when its condition does not
hold.

Failures are rare, so at first the batches follow each other, and one that fails undoes all. Then
the same is sent again with a savepoint for each, to which a failed one is rolled back alone:

    0  BEGIN IMMEDIATE
    1  the claim               if 0 worked
    2    SAVEPOINT batch       if 1 worked
    3    a guard               if 2 worked
    4    a statement           if 3 worked
    5    a note of its result  if 4 worked
    6    ROLLBACK TO batch     if 2 worked and 5 did not
    7    RELEASE batch         if 2 worked
         …                     if 7 worked
    n  COMMIT                  if the last RELEASE worked
       ROLLBACK                if COMMIT did not
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from buntime_database import (
    Batch,
    DatabaseError,
    DatabaseUnavailable,
    Guard,
    GuardFailed,
    InvalidStatement,
    OutcomeUnknown,
    ResultSet,
    Statement,
)

from buntime_plugin_database.engines.libsql.question import error_of, step_outcomes
from buntime_plugin_database.engines.libsql.steps import both, control, negated, worked
from buntime_plugin_database.engines.libsql.transport import Json
from buntime_plugin_database.engines.libsql.values import encode_statement, read_result
from buntime_plugin_database.shared.grouping import BatchOutcome
from buntime_plugin_database.shared.statements import classify, guard_query
from buntime_plugin_database.shared.witness import Results, TablesMissing, Told, Witness, notes_of

_BROKEN = "the guard does not hold"
_NOTHING = ResultSet((), [], 0)
_END = -1
"""The place of the note that says only that its batch was carried out."""


class Encoded(NamedTuple):
    """A batch with checked statements, ready to be sent."""

    steps: list[Json]
    guards: frozenset[int]
    bounded: bool
    size: int
    """Bytes of its texts, roughly."""
    notes: dict[int, str | None]
    """Steps whose results are kept, with the SQL for their rows."""
    is_tellable: bool
    """Whether all that the caller wants to know is kept."""

    @property
    def is_empty(self) -> bool:
        return not self.steps


class BatchPlace(NamedTuple):
    """The place of a batch in a request: each of its steps, and the last one with its notes."""

    steps: list[int]
    end: int


class ServerRequest(NamedTuple):
    """One transaction."""

    steps: list[Json]
    places: list[BatchPlace]
    opening: int
    """Steps before the first batch."""
    commit: int
    has_savepoints: bool


def encode_batch(batch: Batch) -> Encoded:
    """Check a batch here, so that its mistakes cannot touch those that share its request.

    Raises `InvalidStatement`.
    """
    steps: list[Json] = []
    guards: set[int] = set()
    size = 0
    for number, step in enumerate(batch.steps):
        if isinstance(step, Guard):
            guards.add(number)
            encoded = encode_statement(_guard_sql(step.condition), step.args, want_rows=False)
        elif isinstance(step, Statement):
            encoded = encode_statement(step.sql, step.args)
            classify(step.sql)
        else:
            raise InvalidStatement(f"a batch has statements and guards, not {step!r:.80}")
        steps.append(encoded)
        size += len(encoded["sql"]) + sum(
            len(arg.get("value") or arg.get("base64") or "") if arg["type"] != "float" else 8
            for arg in encoded["args"]
        )
    return Encoded(steps, frozenset(guards), batch.bounded, size, *notes_of(batch))


def make_request(
    batches: Sequence[Encoded], witness: Witness, now_ms: int, *, has_savepoints: bool
) -> ServerRequest:
    """The steps of one transaction, the witness's next group."""
    steps: list[Json] = [control("BEGIN IMMEDIATE")]
    for sql in witness.opening(now_ms):
        steps.append(control(sql, worked(len(steps) - 1)))
    opening = len(steps)
    places: list[BatchPlace] = []
    for number, batch in enumerate(batches):
        entered = worked(len(steps))
        if has_savepoints:
            steps.append(control("SAVEPOINT batch", worked(len(steps) - 1)))
        positions = _add_batch(steps, batch, number, witness)
        if has_savepoints and not batch.notes:
            steps.append(control(witness.note(number, _END, None), worked(len(steps) - 1)))
        places.append(BatchPlace(positions, len(steps) - 1))
        if has_savepoints:
            failed = both(entered, negated(worked(len(steps) - 1)))
            steps.append(control("ROLLBACK TO batch", failed))
            steps.append(control("RELEASE batch", entered))
    commit = len(steps)
    steps.append(control("COMMIT", worked(commit - 1)))
    steps.append(control("ROLLBACK", negated(worked(commit))))
    return ServerRequest(steps, places, opening, commit, has_savepoints)


def _add_batch(steps: list[Json], batch: Encoded, number: int, witness: Witness) -> list[int]:
    """Add the steps of a batch; where they are."""
    places: list[int] = []
    for position, statement in enumerate(batch.steps):
        places.append(len(steps))
        steps.append({"condition": worked(len(steps) - 1), "stmt": statement})
        if position in batch.notes:
            note = witness.note(number, position, batch.notes[position])
            steps.append(control(note, worked(len(steps) - 1)))
    return places


async def read_answer(
    request: ServerRequest, batches: Sequence[Encoded], answer: Json
) -> list[BatchOutcome | None] | None:
    """The outcome of each batch; None for one that has to be sent again.

    None instead of the list if everything was rolled back, because one batch failed, or ended the
    transaction, or because a constraint is checked at COMMIT. Raises the error if the transaction
    never began, `TablesMissing` if that was the only reason, and `OutcomeUnknown` if the answer
    does not tell.
    """
    results, errors = step_outcomes(answer, len(request.steps))
    committed = results[request.commit] is not None
    if not committed:
        for position, error in enumerate(errors):
            if error is not None:
                failure = error_of(error)
                if position < request.opening or isinstance(failure, TablesMissing):
                    raise failure
        if len(batches) > 1:
            return None
    outcomes: list[BatchOutcome | None] = []
    for batch, place in zip(batches, request.places, strict=True):
        outcome = await _outcome(batch, results, errors, place, committed=committed)
        if isinstance(outcome, list) and not committed:
            outcome = _failure(errors, request.commit)
        outcomes.append(None if isinstance(outcome, TablesMissing) else outcome)
    return outcomes


def recall(
    request: ServerRequest, batches: Sequence[Encoded], told: Told
) -> list[BatchOutcome | None]:
    """The outcome of each batch after the answer was lost; None for those that were not written."""
    if not told.was_committed:
        return [None] * len(batches)
    written = {batch for batch, _ in told.results}
    return [
        _recalled(batch, number, told.results)
        if number in written or not request.has_savepoints
        else None
        for number, batch in enumerate(batches)
    ]


def _recalled(batch: Encoded, number: int, results: Results) -> BatchOutcome:
    if not batch.is_tellable:
        return OutcomeUnknown(
            "the write was carried out, but what it returned was lost with the server's answer"
        )
    return [results.get((number, step), _NOTHING) for step in range(len(batch.steps))]


async def _outcome(
    batch: Encoded, results: list[Any], errors: list[Any], place: BatchPlace, *, committed: bool
) -> BatchOutcome:
    sets: list[ResultSet] = []
    for number, position in enumerate(place.steps):
        is_guard = number in batch.guards
        error = errors[position]
        if error is not None:
            if is_guard and _BROKEN in str(error.get("message")):
                return GuardFailed(number)
            return error_of(error)
        if results[position] is None:
            return _failure(errors, position - 1)
        try:
            sets.append(_NOTHING if is_guard else await read_result(results[position]))
        except DatabaseError as unreadable:
            if not committed:
                return unreadable
            lost = OutcomeUnknown(
                f"the write was carried out, but its result is lost: {unreadable}"
            )
            lost.__cause__ = unreadable
            return lost
    return sets if results[place.end] is not None else _failure(errors, place.end)


def _failure(errors: list[Any], place: int) -> DatabaseError:
    """Why the step at this place, or one before it that it follows, was not run."""
    if isinstance(errors[place], dict):
        return error_of(errors[place])
    return DatabaseUnavailable("the server rolled back without a reason")


@lru_cache(maxsize=1024)
def _guard_sql(condition: str) -> str:
    guard_query(condition)  # refuses text that is more than an expression
    # Of the functions that can fail this is the one whose error repeats a text of ours.
    return (
        f"SELECT CASE WHEN ({condition}\n) IS TRUE THEN 1"
        f" ELSE json_extract('{{}}', '{_BROKEN}') END"
    )
