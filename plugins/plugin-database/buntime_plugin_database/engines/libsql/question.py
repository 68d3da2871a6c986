"""Asks the server for the outcome of a group whose answer was lost."""

from __future__ import annotations

from typing import Any

from buntime_database import DatabaseError, DatabaseUnavailable, OutcomeUnknown

from buntime_plugin_database.engines.libsql.errors import translate_step
from buntime_plugin_database.engines.libsql.steps import control, negated, worked
from buntime_plugin_database.engines.libsql.transport import Json
from buntime_plugin_database.engines.libsql.values import decode_result
from buntime_plugin_database.shared.witness import (
    CREATE,
    TablesMissing,
    Told,
    Witness,
    is_table_missing,
    results_of,
)

_STEPS = len(CREATE) + 6  # BEGIN, two queries, the fence, COMMIT, ROLLBACK


def make_question(witness: Witness, now_ms: int) -> list[Json]:
    """The request that asks what became of the last group, and keeps it from happening late.

    It takes the server's lock, so that nothing comes in between.
    """
    steps = [control("BEGIN IMMEDIATE")]
    for text in (*CREATE, witness.last_group, witness.last_results, witness.fence(now_ms)):
        steps.append(control(text, worked(len(steps) - 1), want_rows=True))
    commit = len(steps)
    steps.append(control("COMMIT", worked(commit - 1)))
    steps.append(control("ROLLBACK", negated(worked(commit))))
    return steps


def read_reply(witness: Witness, reply: Json) -> Told:
    """The outcome in the answer. Raises `DatabaseError` if it has none."""
    results, errors = step_outcomes(reply, _STEPS)
    for error in errors[:-1]:
        if error is not None:
            raise error_of(error)
    group, notes, _, committed, _ = results[-5:]
    if committed is None:
        raise OutcomeUnknown("the server did not say what became of the write")
    was_committed = decode_result(group).rows == [(witness.group,)]
    return Told(was_committed, results_of(decode_result(notes).rows))


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
    if is_table_missing(message):
        return TablesMissing(message)
    return translate_step(message, error.get("code"))
