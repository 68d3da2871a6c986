"""Packs the decided writes of a group into batches, and assigns the results to the writes.

An embedded engine gets the whole group as one batch, which saves the cost of each further batch. If
anything in it fails, each write is tried as a batch of its own, as it always is over a network. So
are the writes of the next groups, which are likely to fail alike. Results of writes with
idempotency keys are kept in the batch, in one row for all of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

import msgspec
from buntime_database import (
    Batch,
    ConstraintViolation,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseError,
    DatabaseLost,
    Guard,
    GuardFailed,
    OutcomeUnknown,
    Statement,
)

from buntime_plugin_keyval.engine.decisions import SetValue
from buntime_plugin_keyval.engine.jobs import WriteJob
from buntime_plugin_keyval.engine.once import Replays
from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.dialects.replays import place_of
from buntime_plugin_keyval.storage.effects import NoteStamp, Put, StampedEffect, stamp_of_commit
from buntime_plugin_keyval.storage.message_effects import Discard, Enqueue, Lease
from buntime_plugin_keyval.storage.replays import Keeping, keep_all

APART_GROUPS = 16
"""Groups whose writes are batches of their own, after a group that could not be one batch."""

LONG_WAIT = 0.5
"""Seconds after which writes that found the database busy do not wait for it again."""

_KEEPING = 2
"""Steps that keep results, in front of all others: a guard and a statement."""

_ROW = 1
"""Which of them tells where the results are."""


class KeyTaken(DatabaseError):
    """Another process has kept a result under a key of the commit since the last look."""


class DecidedGroup(msgspec.Struct, frozen=True, gc=False):
    """Writes that were decided together."""

    group: Sequence[WriteJob]
    writing: Sequence[WriteJob]
    """The writes that need a commit."""
    after: int | None
    """The place up to which results under keys are known; None where no write has a key."""
    now_ms: int
    is_firm: bool
    """Whether the commits have the versionstamps of the decisions, or fail."""
    is_followed: bool
    """Whether the changes have followers."""


class Packed(NamedTuple):
    """A group on its way to the engine."""

    batches: Sequence[Batch]
    unpack: Callable[[Sequence[Outcome]], Sequence[Outcome] | None]
    """Turn the outcomes of the batches into those of the writes: `KeyTaken` where results of others
    under keys have to be read first.

    None if all of it failed because of a part of it."""


class Packing:
    """The way of decided writes to one database."""

    def __init__(self, db: Database, replays: Replays) -> None:
        self._sql = db.sql
        self._is_embedded = db.adapter.capabilities.embedded
        self._gives_rows = db.adapter.capabilities.rows_of_batches
        self._replays = replays
        self._apart_groups = 0

    def pack(self, decided: DecidedGroup) -> Packed:
        """The steps of each write, with what keeps its result."""
        writing, after = decided.writing, decided.after
        if not self._is_embedded or len(writing) == 1:
            return self.pack_each(decided)
        if self._apart_groups:
            self._apart_groups -= 1
            return self.pack_each(decided)
        steps: list[Guard | Statement] = []
        keys: list[str] = []
        if after is not None:
            keepings = _keepings(writing)
            if keepings:
                keys = [key for key, *_ in keepings]
                steps += keep_all(self._sql, keepings, after, decided.now_ms)
        wanted: list[int] | None = None
        are_wanted = True
        if decided.is_firm and not decided.is_followed:
            wanted = [_ROW] if keys else []
            for job in writing:
                decision = job.decision
                if decision is not None and decision.conclude is not None:
                    begins = len(steps)
                    wanted += [begins + step for step in _wanted(job)]
                steps += job.steps
            are_wanted = len(wanted) > bool(keys)
        else:
            for job in writing:
                steps += job.steps
        # Whatever shares a commit is bounded, but for its values.
        is_bounded = all(job.size <= LONG_VALUE and job.write.size <= LONG_VALUE for job in writing)
        batch = Batch(steps, is_bounded, wanted)
        return Packed([batch], partial(self._unpack_all, decided, keys, are_wanted, perf_counter()))

    def pack_each(self, decided: DecidedGroup) -> Packed:
        """The same, with a batch for each, which fails alone."""
        writing, after = decided.writing, decided.after
        batches = [self._batch(job, decided) for job in writing]
        if after is None:
            return Packed(batches, _as_they_are)
        keys: list[str | None] = []
        for number, job in enumerate(writing):
            keepings = _keepings([job])
            keys.append(keepings[0][0] if keepings else None)
            if keepings:
                steps = keep_all(self._sql, keepings, after, decided.now_ms)
                batches[number] = self._keeping(batches[number], steps)
        return Packed(batches, partial(self._unpack_each, keys))

    def _unpack_all(
        self,
        decided: DecidedGroup,
        keys: Sequence[str],
        are_wanted: bool,
        started: float,
        outcomes: Sequence[Outcome],
    ) -> Sequence[Outcome] | None:
        (outcome,) = outcomes
        writing = decided.writing
        if isinstance(outcome, DatabaseError):
            error = _key_taken(outcome) if keys else outcome
            if isinstance(error, KeyTaken) or _concerns_all(
                error, perf_counter() - started, is_firm=decided.is_firm
            ):
                return [error] * len(writing)
            self._apart_groups = APART_GROUPS
            return None
        if keys:
            self._replays.kept(keys, place_of(outcome[_ROW]))
        if not are_wanted:
            return [[]] * len(writing)
        each: list[Outcome] = []
        begins = _KEEPING if keys else 0
        for job in writing:
            ends = begins + len(job.steps)
            each.append(outcome[begins:ends])
            begins = ends
        return each

    def _unpack_each(
        self, keys: Sequence[str | None], outcomes: Sequence[Outcome]
    ) -> Sequence[Outcome]:
        each = list(outcomes)
        kept: dict[int | None, list[str]] = {}
        for number, (key, outcome) in enumerate(zip(keys, outcomes, strict=True)):
            if key is None:
                continue
            if isinstance(outcome, DatabaseError):
                error = _key_taken(outcome)
                if isinstance(error, GuardFailed):
                    error = GuardFailed(error.index - _KEEPING)
                each[number] = error
            else:
                kept.setdefault(place_of(outcome[_ROW]), []).append(key)
                each[number] = outcome[_KEEPING:]
        for place, together in kept.items():
            self._replays.kept(together, place)
        return each

    def _keeping(self, batch: Batch, steps: Sequence[Guard | Statement]) -> Batch:
        """The same batch with the steps in front of it that keep a result."""
        wanted, recalls = batch.wanted, batch.recalls
        if wanted is not None:
            wanted = [_ROW, *(number + _KEEPING for number in wanted)]
        if not self._is_embedded:
            later = {number + _KEEPING: sql for number, sql in (recalls or {}).items()}
            recalls = {_ROW: self._sql.replays.kept_place, **later}
        return Batch([*steps, *batch.steps], batch.bounded, wanted, recalls)

    def _batch(self, job: WriteJob, decided: DecidedGroup) -> Batch:
        is_firm, is_followed = decided.is_firm, decided.is_followed
        if self._is_embedded or job.decision is None:
            is_told = is_followed or not is_firm
            return Batch(job.steps, job.is_bounded, None if is_told else _wanted(job))
        if is_firm and isinstance(job.write, SetValue):  # the common one
            return Batch(job.steps, job.is_bounded, job.first_steps if is_followed else ())
        placed = list(zip(job.decision.effects, job.first_steps, strict=True))
        recalls: dict[int, str] = {}
        if not self._gives_rows:
            for effect, step in placed:
                leased = isinstance(effect, Lease) and effect.recall(self._sql, job.versionstamp)
                recalls |= {step: leased} if leased else {}
        if not is_firm:
            stamp = stamp_of_commit(self._sql, job.versionstamp)
            recalls |= {step: stamp for effect, step in placed if isinstance(effect, StampedEffect)}
            return Batch(job.steps, job.is_bounded, job.first_steps, recalls)
        # The results of a Put are only used by followers of its change.
        idle = NoteStamp if is_followed else Put | NoteStamp
        wanted = [step for effect, step in placed if not isinstance(effect, idle)]
        return Batch(job.steps, job.is_bounded, wanted, recalls)


_GIVING_NOTHING = (Put, Enqueue, Discard, NoteStamp)
"""Effects whose results no conclusion uses."""


def _keepings(writing: Sequence[WriteJob]) -> list[Keeping]:
    """The results of these writes to be kept in their commits."""
    return [
        (once.key, once.fingerprint, job.versionstamp, job.told)
        for job in writing
        if (once := job.once) is not None and job.decision is not None
    ]


def _as_they_are(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    return outcomes


def _wanted(job: WriteJob) -> Sequence[int]:
    """The steps whose results its conclusion needs, if its stamp is firm and its changes have no
    followers.
    """
    decision = job.decision
    if decision is None or decision.conclude is None:
        return ()
    effects = decision.effects
    if len(effects) == 1:
        return () if isinstance(effects[0], _GIVING_NOTHING) else job.first_steps
    placed = zip(effects, job.first_steps, strict=True)
    return [step for effect, step in placed if not isinstance(effect, _GIVING_NOTHING)]


def _key_taken(error: DatabaseError) -> DatabaseError:
    """The error of a batch that keeps something; `KeyTaken` where that was refused."""
    is_taken = isinstance(error, GuardFailed) and error.index < _KEEPING
    return KeyTaken(str(error)) if is_taken else error


def _concerns_all(error: DatabaseError, waited: float, *, is_firm: bool) -> bool:
    """Whether each of the writes would fail so by itself, or may have been done.

    `waited` is how many seconds it took to fail.
    """
    if isinstance(error, ConstraintViolation):
        return is_firm  # the first stamp is too old, like those of all
    if isinstance(error, DatabaseBusy):
        return waited >= LONG_WAIT  # waiting for another process's lock
    return isinstance(error, (DatabaseClosed, DatabaseLost, OutcomeUnknown))
