"""Statements that may take as long as they need: schemas and indexes."""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import Adapter, Batch, DatabaseError, Guard, ResultSet, Statement


async def patient_batch(adapter: Adapter, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
    """As `Adapter.batch`, without the engine's limit for statements."""
    (outcome,) = await adapter.batch_each([Batch(steps, patient=True)])
    if isinstance(outcome, DatabaseError):
        raise outcome
    return outcome
