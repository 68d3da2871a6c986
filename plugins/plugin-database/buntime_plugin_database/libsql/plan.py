"""Batches as steps of one request, and what the answer says about each of them.

One request is one transaction: `BEGIN IMMEDIATE`, a savepoint for each batch, `COMMIT`. A step runs
only if the one before it worked; a batch that fails is rolled back to its savepoint and leaves
the others alone. A guard is a query that raises when its condition does not hold.

    0  BEGIN IMMEDIATE
    1    SAVEPOINT batch       if 0 worked
    2    a guard               if 1 worked
    3    a statement           if 2 worked
    4    ROLLBACK TO batch     if 1 worked and 3 did not
    5    RELEASE batch         if 1 worked
         …                     if 5 worked
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

from buntime_plugin_database.libsql.errors import translate_step
from buntime_plugin_database.libsql.transport import Json
from buntime_plugin_database.libsql.values import decode_result, encode_statement
from buntime_plugin_database.sqlite.statements import classify, guard_query

Outcome = list[ResultSet] | DatabaseError

_BROKEN = "the guard does not hold"
_GUARD_HELD = ResultSet((), [], 0)


class Encoded(NamedTuple):
    """A batch whose statements are checked and ready to be sent."""

    steps: list[Json]
    guards: frozenset[int]
    bounded: bool
    size: int
    """Bytes of its texts, roughly."""


class Request(NamedTuple):
    """One transaction, and where in it the steps of each batch are."""

    steps: list[Json]
    begins: list[int]
    commit: int


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
    return Encoded(steps, frozenset(guards), batch.bounded, size)


def make_request(batches: Sequence[Encoded]) -> Request:
    """The steps of one transaction; a batch that is alone needs no savepoint."""
    steps: list[Json] = [_control("BEGIN IMMEDIATE")]
    begins: list[int] = []
    end = 0
    for batch in batches:
        if len(batches) > 1:
            steps.append(_control("SAVEPOINT batch", _worked(end)))
        begin = len(steps)
        begins.append(begin)
        for statement in batch.steps:
            steps.append({"condition": _worked(len(steps) - 1), "stmt": statement})
        end = len(steps) - 1
        if len(batches) > 1:
            entered = _worked(begin - 1)
            failed: Json = {"type": "and", "conds": [entered, _not(_worked(end))]}
            steps.append(_control("ROLLBACK TO batch", failed))
            end = len(steps)
            steps.append(_control("RELEASE batch", entered))
    commit = len(steps)
    steps.append(_control("COMMIT", _worked(end)))
    steps.append(_control("ROLLBACK", _not(_worked(commit))))
    return Request(steps, begins, commit)


def read_answer(
    request: Request, batches: Sequence[Encoded], answer: Json
) -> list[Outcome] | DatabaseError | None:
    """What became of each batch.

    An error if the transaction never began. None if it was rolled back as a whole, because one
    batch ended it or because a constraint is checked at COMMIT: then each has to run alone.
    """
    results, errors = answer.get("step_results"), answer.get("step_errors")
    if not isinstance(results, list) or not isinstance(errors, list):
        return OutcomeUnknown("the server's answer has no steps")
    if len(results) != len(request.steps) or len(errors) != len(request.steps):
        return OutcomeUnknown("the server's answer has not as many steps as the request")
    if errors[0] is not None:
        return _error(errors[0])
    committed = results[request.commit] is not None
    if not committed and len(batches) > 1:
        return None
    outcomes: list[Outcome] = []
    for batch, begin in zip(batches, request.begins, strict=True):
        end = begin + len(batch.steps)
        outcome = _outcome(batch, results[begin:end], errors[begin:end])
        if isinstance(outcome, list) and not committed:
            outcome = _error(errors[request.commit])
        outcomes.append(outcome)
    return outcomes


def _outcome(batch: Encoded, results: list[Any], errors: list[Any]) -> Outcome:
    sets: list[ResultSet] = []
    for number, (result, error) in enumerate(zip(results, errors, strict=True)):
        is_guard = number in batch.guards
        if error is not None:
            if is_guard and _BROKEN in str(error.get("message")):
                return GuardFailed(number)
            return _error(error)
        if result is None:
            return DatabaseUnavailable("the server left a step out without a reason")
        try:
            sets.append(_GUARD_HELD if is_guard else decode_result(result))
        except DatabaseError as unreadable:
            return unreadable
    return sets


def _error(error: Any) -> DatabaseError:
    if not isinstance(error, dict):
        return DatabaseUnavailable("the server rolled back without a reason")
    return translate_step(str(error.get("message")), error.get("code"))


@lru_cache(maxsize=1024)
def _guard_sql(condition: str) -> str:
    guard_query(condition)  # refuses what is more than an expression
    # Of the functions that can fail this is the one whose error repeats a text of ours.
    return (
        f"SELECT CASE WHEN ({condition}\n) IS TRUE THEN 1"
        f" ELSE json_extract('{{}}', '{_BROKEN}') END"
    )


def _control(sql: str, condition: Json | None = None) -> Json:
    step: Json = {"stmt": {"sql": sql, "want_rows": False}}
    if condition is not None:
        step["condition"] = condition
    return step


def _worked(step: int) -> Json:
    return {"type": "ok", "step": step}


def _not(condition: Json) -> Json:
    return {"type": "not", "cond": condition}
