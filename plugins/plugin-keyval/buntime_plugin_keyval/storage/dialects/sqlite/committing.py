"""A group of commits as few statements, for engines with expensive statements.

The whole group is one batch, so a guard that does not hold undoes all of it. Then the database is
asked which guards do not hold, and the group is tried again without their commits. If that does not
settle it, the group goes the engine's own way, each commit by itself, which is right for all of
them.
"""

from __future__ import annotations

from collections.abc import Sequence

from buntime_database import (
    Adapter,
    Batch,
    ConstraintViolation,
    DatabaseError,
    DatabaseUnavailable,
    GuardFailed,
    OutcomeUnknown,
)

from buntime_plugin_keyval.storage.dialects.dialect import Committing, Outcome
from buntime_plugin_keyval.storage.dialects.sqlite.grouping import CommitGroup, Different, Gathered

MOST_TRIES = 3
"""How often a group is tried as one; others may be faster each time."""

_STALE = ("kv_changes.versionstamp", "kv_stamps.newest")
"""The name in a constraint's error that refused a stamp."""


def committing(adapter: Adapter) -> Committing | None:
    """See `Dialect.committing`."""
    return FewStatements(adapter) if adapter.capabilities.dear_statements else None


class FewStatements:
    """Commits groups to one database."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    async def __call__(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        outcomes: dict[int, Outcome] = {}
        left = list(range(len(batches)))
        for _ in range(MOST_TRIES):
            together = [batches[number] for number in left]
            gathered = _gathered(together)
            if gathered is None:
                break
            group, made = gathered
            if len(left) == 1 and made.keeping_step is None:
                break  # it is small anyway, and the failing guard is reported
            try:
                (outcome,) = await self._adapter.batch_each([made.batch])
                told = await self._told(group, made, together, outcome)
            except DatabaseError as error:  # nothing was written
                told = [error] * len(together)
            if told is None:
                break
            outcomes |= {
                number: one for number, one in zip(left, told, strict=True) if one is not None
            }
            left = [number for number in left if number not in outcomes]
        if left:
            each = await self._adapter.batch_each([batches[number] for number in left])
            outcomes |= zip(left, each, strict=True)
        return [outcomes[number] for number in range(len(batches))]

    async def _told(
        self, group: CommitGroup, made: Gathered, batches: Sequence[Batch], outcome: Outcome
    ) -> Sequence[Outcome | None] | None:
        """The outcome of each commit, None for one that is to be tried again; None for all of them
        if each is to be tried by itself. Raises `DatabaseError`.
        """
        if not isinstance(outcome, DatabaseError):
            return group.outcomes(batches, made, outcome)
        if isinstance(outcome, DatabaseUnavailable | OutcomeUnknown) or _is_stale(outcome):
            return [outcome] * len(batches)
        if not isinstance(outcome, GuardFailed):
            return None
        if made.keeping_step is not None and outcome.index == 0:
            refused = group.taken()
        else:
            sql, args = group.questions()
            broken = await self._adapter.query(sql, args, fresh=True)
            refused = group.refused([int(number or 0) for (number,) in broken])
        return [
            GuardFailed(refused[number]) if number in refused else None
            for number in range(len(batches))
        ]


def _gathered(batches: Sequence[Batch]) -> tuple[CommitGroup, Gathered] | None:
    group = CommitGroup()
    try:
        for batch in batches:
            group.add(batch)
    except Different:
        return None
    is_told = any(batch.wanted is None or batch.wanted for batch in batches)
    return group, group.gather(is_told=is_told)


def _is_stale(error: DatabaseError) -> bool:
    """Whether others have committed meanwhile with a later stamp."""
    return isinstance(error, ConstraintViolation) and any(name in str(error) for name in _STALE)
