"""A write on its way from its caller to its commit, and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from time import perf_counter
from types import MappingProxyType
from typing import Any

import msgspec
from buntime_database import Guard, ResultSet, Statement

from buntime_plugin_keyval.engine.decisions import Decision, PlainWrite, Settled, SetValue, Write
from buntime_plugin_keyval.engine.once import Once, Replays
from buntime_plugin_keyval.engine.plain import PlainChanges
from buntime_plugin_keyval.engine.recorder import Recorder
from buntime_plugin_keyval.model.errors import KeyValError, PreconditionFailed
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.effects import EntryEffect, StampedEffect

_FIRST = (0,)


class WriteJob(msgspec.Struct, eq=False):
    """One write, with its decision and its waiter."""

    write: Write[Any] | SetValue | PlainChanges | PlainWrite[Any]
    done: asyncio.Future[Any]
    once: Once | None
    """Of a write that is under way in `replays`."""
    replays: Replays
    operation: str
    """The operation that its time is a sample of; empty if its caller measures it."""
    recorder: Recorder
    started: float
    """When its time began, by `perf_counter`."""
    attempts: int = 0
    # What follows is that of the decision, see `start`.
    versionstamp: str = ""
    decision: Decision[Any] | None = None
    error: Exception | None = None
    is_writing: bool = True
    """Whether it takes a commit, be it to keep that nothing was done."""
    steps: Sequence[Guard | Statement] = ()
    first_steps: Sequence[int] = _FIRST
    """The index of each effect's first step."""
    size: int = 0
    """Bytes of the values that it stores."""
    told: str = ""
    """The part that is kept for a repetition, beside its stamp and its counts."""

    def start(
        self,
        versionstamp: str,
        decision: Decision[Any] | None = None,
        steps: Sequence[Guard | Statement] = (),
        size: int = 0,
    ) -> None:
        """Begin with a decision, as far as it is made, and forget an earlier one."""
        if self.attempts:
            self.error = None
            self.is_writing = True
            self.first_steps = _FIRST
            self.told = ""
        self.versionstamp = versionstamp
        self.decision = decision
        self.steps = steps
        self.size = size

    @property
    def is_bounded(self) -> bool:
        """Whether an embedded engine may run it on the event loop."""
        write = self.write
        return write.bounded and self.size <= LONG_VALUE and write.size <= LONG_VALUE

    @property
    def changes_entries(self) -> bool:
        """Whether it commits changes for the followers of the log."""
        effects = self.decision.effects if self.is_writing and self.decision is not None else ()
        return any(isinstance(effect, EntryEffect) for effect in effects)

    def fail(self, error: BaseException) -> None:
        """Tell the caller."""
        if self.once is not None:
            self.replays.end(self.once)
        if self.operation:
            self.recorder.record(self.operation, perf_counter() - self.started, failed=True)
        if not self.done.done():
            self.done.set_exception(error)

    def succeed(self, result: Any) -> None:
        """Tell the caller; a caller that was cancelled meanwhile is not there any more."""
        if self.once is not None:
            self.replays.end(self.once)
        if self.operation:
            self.recorder.record(self.operation, perf_counter() - self.started)
        if not self.done.done():
            self.done.set_result(result)

    def given_stamp(self, results: list[ResultSet]) -> str | None:
        """The versionstamp that the commit has got, where a result of it tells."""
        effects = self.decision.effects if self.decision is not None else ()
        for effect, result in zip(effects, results, strict=True):
            if isinstance(effect, StampedEffect) and result.rows:
                return str(result.rows[0][0])
        return None

    def conclude(self, results: Sequence[ResultSet], settled: Settled) -> None:
        """Tell the caller what came of it."""
        decision = self.decision
        if decision is None:
            error = self.error
            if settled and isinstance(error, PreconditionFailed):
                stamp = error.versionstamp
                if stamp is not None and stamp in settled:
                    error = PreconditionFailed(settled[stamp])
            self.fail(error or RuntimeError("the write was never decided"))
        elif decision.conclude is None:
            stamp = self.versionstamp
            self.succeed(self.write.made(settled.get(stamp, stamp) if settled else stamp))
        else:
            try:
                told = decision.conclude(results, settled)
            except KeyValError as error:
                self.fail(error)
            else:
                self.succeed(told)


def conclude_all(jobs: Sequence[tuple[WriteJob, Sequence[ResultSet]]], recorder: Recorder) -> None:
    """The same for many that were committed as decided, with the results of their steps."""
    now = perf_counter()
    took: dict[str, list[float]] = {}
    for job, given in jobs:
        write, decision, once = job.write, job.decision, job.once
        if decision is None or decision.conclude is None:
            result = write.made(job.versionstamp)
        else:
            results = [given[step] for step in job.first_steps] if given else ()
            try:
                result = decision.conclude(results, _NOTHING_SETTLED)
            except KeyValError as error:
                job.fail(error)
                continue
        if once is not None:
            job.replays.end(once)
        if job.operation:
            took.setdefault(job.operation, []).append(now - job.started)
        done = job.done
        if not done.done():  # or its caller was cancelled meanwhile
            done.set_result(result)
    for operation, seconds in took.items():
        recorder.record_all(operation, seconds)


_NOTHING_SETTLED: Settled = MappingProxyType({})
