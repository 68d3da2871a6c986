"""Handing the decided writes of a group to the engine, each as steps that hold on their own.

Writes with keys of their callers' keep their results in one row for all of them, where the engine
is embedded: the whole group is one batch then. Should anything in that fail, each is tried on its
own, with a row of its own, as it is wherever a network costs far more than a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial

from buntime_database import (
    Batch,
    ConstraintViolation,
    DatabaseError,
    DatabaseFull,
    DatabaseUnavailable,
    Guard,
    GuardFailed,
    OutcomeUnknown,
    Statement,
)

from buntime_plugin_keyval.engine.jobs import WriteJob
from buntime_plugin_keyval.engine.once import Replays
from buntime_plugin_keyval.storage import replays as kept
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.effects import NoteStamp, Put, StampedEffect, stamp_of_commit
from buntime_plugin_keyval.storage.message_effects import Lease
from buntime_plugin_keyval.storage.replays import Keeping

_Keep = Callable[[Sequence[Keeping]], Iterable[Guard | Statement]]

_KEEPING = 2
"""Steps that keep results, in front of all others: a guard and a statement."""

_ROW = 1
"""Which of them tells where the results are."""


class KeyTaken(DatabaseError):
    """Somebody else has kept a result under a key of the commit since the last look."""


class Sending:
    """The way of decided writes to one database."""

    def __init__(self, db: Database, replays: Replays) -> None:
        self._db = db
        self._replays = replays
        self._is_embedded = db.adapter.capabilities.embedded
        self._gives_rows = db.adapter.capabilities.rows_of_batches

    def batches(self, writing: Sequence[WriteJob], *, is_followed: bool) -> list[Batch]:
        """Each write as a batch; `is_followed` says whether anybody is told of changes.

        They keep nothing.
        """
        return [self._batch(job, is_followed) for job in writing]

    async def send_keeping(
        self, writing: Sequence[WriteJob], after: int, now_ms: int, *, is_followed: bool
    ) -> Sequence[Outcome]:
        """Commit each write with its result, or nothing of it; what its own steps gave.

        `after` is the place up to which it is known what is kept; where that is not enough, the
        outcome is `KeyTaken`. Raises `DatabaseError` if the adapter is closed.
        """
        keep = partial(kept.keep_all, self._db.sql, after=after, now_ms=now_ms)
        outcomes = None
        if self._is_embedded and len(writing) > 1:
            outcomes = await self._send_as_one(writing, keep, is_followed)
        return outcomes or await self._send_each(writing, keep, is_followed)

    async def _send_as_one(
        self, writing: Sequence[WriteJob], keep: _Keep, is_followed: bool
    ) -> Sequence[Outcome] | None:
        """All or nothing; None if that is nothing, and not because of what concerns all of them."""
        keepings = [keeping for job in writing if (keeping := job.keeping) is not None]
        steps: list[Guard | Statement] = [*keep(keepings)] if keepings else []
        begins = len(steps)
        for job in writing:
            steps += job.steps
        is_bounded = all(job.is_bounded for job in writing)
        wants_nothing = not is_followed and all(map(_wants_nothing, writing))
        batch = Batch(steps, is_bounded, (_ROW,) if wants_nothing else None)
        (outcome,) = await self._db.adapter.batch_each([batch])
        if isinstance(outcome, DatabaseError):
            taken = _key_taken(outcome)
            if taken is not None or _is_for_all(outcome, writing):
                return [taken or outcome] * len(writing)
            return None
        keys = [
            job.once.key for job in writing if job.once is not None and job.decision is not None
        ]
        self._replays.kept(keys, kept.place_of(outcome[_ROW]))
        outcomes: list[Outcome] = []
        begins = _KEEPING
        for job in writing:
            ends = begins + len(job.steps)
            outcomes.append(outcome[begins:ends])
            begins = ends
        return outcomes

    async def _send_each(
        self, writing: Sequence[WriteJob], keep: _Keep, is_followed: bool
    ) -> Sequence[Outcome]:
        """Each by itself, in one commit if they can share it."""
        batches: list[Batch] = []
        keepings = [job.keeping for job in writing]
        for job, keeping in zip(writing, keepings, strict=True):
            batch = self._batch(job, is_followed)
            batches.append(batch if keeping is None else self._keeping(batch, keep([keeping])))
        outcomes = list(await self._db.adapter.batch_each(batches))
        for number, keeping in enumerate(keepings):
            outcome = outcomes[number]
            if keeping is None:
                continue
            if isinstance(outcome, GuardFailed):
                outcomes[number] = _key_taken(outcome) or GuardFailed(outcome.index - _KEEPING)
            elif not isinstance(outcome, DatabaseError):
                self._replays.kept([keeping[0]], kept.place_of(outcome[_ROW]))
                outcomes[number] = outcome[_KEEPING:]
        return outcomes

    def _keeping(self, batch: Batch, steps: Iterable[Guard | Statement]) -> Batch:
        """The same batch with the steps in front of it that keep a result."""
        wanted, recalls = batch.wanted, batch.recalls
        if wanted is not None:
            wanted = [_ROW, *(number + _KEEPING for number in wanted)]
        if not self._is_embedded:
            later = {number + _KEEPING: sql for number, sql in (recalls or {}).items()}
            recalls = {_ROW: self._db.sql.replays.kept_place, **later}
        return Batch([*steps, *batch.steps], batch.bounded, wanted, recalls)

    def _batch(self, job: WriteJob, is_followed: bool) -> Batch:
        if self._is_embedded or job.decision is None:
            nothing = not is_followed and _wants_nothing(job)
            return Batch(job.steps, job.is_bounded, () if nothing else None)
        placed = list(zip(job.decision.effects, job.first_steps, strict=True))
        recalls: dict[int, str] = {}
        if not self._gives_rows:
            for effect, step in placed:
                leased = isinstance(effect, Lease) and effect.recall(self._db.sql, job.versionstamp)
                recalls |= {step: leased} if leased else {}
        if not job.is_firm:
            stamp = stamp_of_commit(self._db.sql, job.versionstamp)
            recalls |= {step: stamp for effect, step in placed if isinstance(effect, StampedEffect)}
            return Batch(job.steps, job.is_bounded, job.first_steps, recalls)
        # What a Put gives is of use to those alone who are told of its change.
        idle = NoteStamp if is_followed else Put | NoteStamp
        wanted = [step for effect, step in placed if not isinstance(effect, idle)]
        return Batch(job.steps, job.is_bounded, wanted, recalls)


def _wants_nothing(job: WriteJob) -> bool:
    """Whether its conclusion needs no result, unless somebody is told of its changes."""
    return job.decision is not None and job.decision.conclude is None and job.is_firm


def _key_taken(error: DatabaseError) -> KeyTaken | None:
    """What it is if it is the guard that comes with what is kept."""
    is_taken = isinstance(error, GuardFailed) and error.index < _KEEPING
    return KeyTaken(str(error)) if is_taken else None


def _is_for_all(error: DatabaseError, writing: Sequence[WriteJob]) -> bool:
    """Whether each of the writes would fail so by itself, or may have been done."""
    if isinstance(error, ConstraintViolation):
        return writing[0].is_firm  # its stamp is too old, as those of all
    if isinstance(error, DatabaseFull):
        return False  # there may be room for some
    return isinstance(error, (DatabaseUnavailable, OutcomeUnknown))
