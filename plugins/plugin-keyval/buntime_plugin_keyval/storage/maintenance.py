"""Statements without a time limit: schemas and indexes."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import Adapter, Batch, DatabaseError, Guard, ResultSet, Statement


async def patient_batch(adapter: Adapter, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
    """Do `Adapter.batch` without the engine's time limit for statements."""
    (outcome,) = await adapter.batch_each([Batch(steps, patient=True)])
    if isinstance(outcome, DatabaseError):
        raise outcome
    return outcome
