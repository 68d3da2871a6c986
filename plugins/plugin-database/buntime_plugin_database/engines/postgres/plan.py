"""Batches that are checked and ready to be run."""

from __future__ import annotations

from typing import NamedTuple

from buntime_database import Batch, Guard, InvalidStatement, Statement

from buntime_plugin_database.engines.postgres.statements import Sql, guard, parse
from buntime_plugin_database.engines.postgres.values import Arguments, check


class Step(NamedTuple):
    """One statement, or the query of a guard."""

    sql: Sql
    args: Arguments
    is_guard: bool


class Steps(NamedTuple):
    """A batch that is checked."""

    steps: tuple[Step, ...]
    bounded: bool
    patient: bool
    size: int

    @property
    def is_empty(self) -> bool:
        return not self.steps


def checked_batch(batch: Batch) -> Steps:
    """Check a batch before it can touch those that share its transaction.

    Raises `InvalidStatement`.
    """
    steps = tuple(map(checked_step, batch.steps))
    size = sum(
        len(step.sql.text) + sum(len(arg) for arg in step.args if isinstance(arg, (str, bytes)))
        for step in steps
    )
    return Steps(steps, batch.bounded and not batch.patient, batch.patient, size)


def checked_step(step: object) -> Step:
    """Check one statement or guard. Raises `InvalidStatement`."""
    if isinstance(step, Guard):
        checked = Step(parse(guard(step.condition)), step.args, True)
    elif isinstance(step, Statement):
        checked = Step(parse(step.sql), step.args, False)
    else:
        raise InvalidStatement(f"a batch has statements and guards, not {step!r:.80}")
    check(step.args)
    return checked
