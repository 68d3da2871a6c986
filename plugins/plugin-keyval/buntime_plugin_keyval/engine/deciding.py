"""Deciding the writes of a group, in Python and without I/O: each sees those before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buntime_database import Guard, Statement
from buntime_keyval.wire import key_to_json
from buntime_keyval.wire.commits import NO_OPTIONS

from buntime_plugin_keyval.engine.decisions import (
    Decision,
    PlainWrite,
    SetValue,
    View,
    Write,
    guard_of,
)
from buntime_plugin_keyval.engine.jobs import WriteJob
from buntime_plugin_keyval.engine.plain import PlainChanges, changed_number
from buntime_plugin_keyval.model.clock import Moment
from buntime_plugin_keyval.model.versionstamps import Stamps
from buntime_plugin_keyval.storage.dialects.dialect import Dialect
from buntime_plugin_keyval.storage.dialects.reads import LONG_VALUE
from buntime_plugin_keyval.storage.effects import Effect, NoteStamp, Put, Remove
from buntime_plugin_keyval.storage.message_effects import Enqueue
from buntime_plugin_keyval.storage.ranges import single
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.replays import keep_count, keep_stamp, told_text
from buntime_plugin_keyval.storage.selection import EVERYTHING

LONG_NUMBER_DIGITS = 1000
"""Digits from which a number takes more than a moment to be read or written as decimal."""


class Deciding:
    """The decisions of one group, all at one moment, on the rows that were loaded for it."""

    def __init__(
        self,
        sql: Dialect,
        stamps: Stamps,
        at: Moment,
        rows: dict[bytes, Row],
        *,
        is_firm: bool,
        is_looked_at: bool,
    ) -> None:
        """`is_looked_at` says whether any of the writes reads existing rows."""
        self._sql = sql
        self._stamps = stamps
        self._at = at
        self._rows = rows
        self._is_firm = is_firm
        self._is_looked_at = is_looked_at
        self._pending: set[bytes] = set()
        """Keys that a write of this group is about to change."""

    def decide_all(self, group: Sequence[WriteJob]) -> None:
        """Give each its decision, or the error of that, and the steps that it takes."""
        for job in group:
            write = job.write
            # For a final class the type says as much as `isinstance`, without a call.
            if type(write) is SetValue:
                self._decide_set(job, write)
            elif type(write) is PlainWrite:
                self._decide_plain(job, write)
            elif isinstance(write, PlainChanges):
                self._decide_changes(job, write)
            else:
                self._decide(job, write)

    def _decide_plain(self, job: WriteJob, write: PlainWrite[Any]) -> None:
        """Decide one effect, which reads nothing."""
        sql, at, is_firm = self._sql, self._at, self._is_firm
        is_stamped = write.has_stamp or job.once is not None or not is_firm
        versionstamp = self._stamps.make(at.now_ms) if is_stamped else ""
        decision = write.decision
        (effect,) = decision.effects
        steps = effect.statements(sql, versionstamp, at, is_firm)
        size = write.size
        if job.once is None:
            job.start(versionstamp, decision, steps, size)
            if self._is_looked_at:
                self._apply(effect, versionstamp)
            return
        told = told_text(decision.told)
        if not is_firm:
            steps = (*steps, keep_stamp(sql, versionstamp))
        job.start(versionstamp, decision, steps, size + len(told))
        job.told = told

    def _decide(self, job: WriteJob, write: Write[Any]) -> None:
        sql, at, is_firm = self._sql, self._at, self._is_firm
        versionstamp = self._stamps.make(at.now_ms)
        view = View(sql, at, versionstamp, self._rows, self._pending)
        job.start(versionstamp)
        first_steps: list[int] = []
        job.first_steps = first_steps
        decision: Decision[Any] | None = None
        try:
            decision = job.decision = write.decide(view)
        except Exception as error:  # noqa: BLE001 - goes to the caller, whatever it is
            job.error = error
        is_kept = job.once is not None and decision is not None
        effects = decision.effects if decision is not None else ()
        if not (effects or is_kept or write.guards or view.saw_pending()):
            job.is_writing = False  # and its base is committed
            return
        steps: list[Guard | Statement] = [*write.guards, *view.guards()]
        for effect in effects:
            first_steps.append(len(steps))
            statements = effect.statements(sql, versionstamp, at, is_firm)
            if is_kept and write.has_counts:
                first, *others = statements
                statements = [first, keep_count(sql, versionstamp), *others]
            steps.extend(statements)
            job.size += self._apply(effect, versionstamp)
        job.steps = steps
        if is_kept and decision is not None:
            job.told = told_text(decision.told)
            job.size += len(job.told)
            if not is_firm:
                steps.append(keep_stamp(sql, versionstamp))

    def _decide_set(self, job: WriteJob, write: SetValue) -> None:
        """Decide one value, which reads nothing."""
        sql, at, is_firm = self._sql, self._at, self._is_firm
        versionstamp = self._stamps.make(at.now_ms)
        if write.options is NO_OPTIONS:
            put = Put(write.key, write.key_json, write.value)
        else:
            put = write.put(at)
        steps = sql.writes.put(put, versionstamp, at, is_firm)
        if job.once is not None and not is_firm:
            steps = (*steps, keep_stamp(sql, versionstamp))
        job.start(versionstamp, Decision((put,), None), steps, write.size)
        if self._is_looked_at:
            self._apply(put, versionstamp)

    def _decide_changes(self, job: WriteJob, write: PlainChanges) -> None:
        """Decide a commit of plain changes; in full if one of them meets a value that is not
        plain.
        """
        sql, at, rows, pending = self._sql, self._at, self._rows, self._pending
        now_ms = at.now_ms
        effects: list[Effect] = []
        steps: list[Guard | Statement] = []
        for key, mutation in zip(write.keys, write.mutations, strict=True):
            kind = mutation.type
            if kind == "delete":
                effects.append(Remove(single(key)))
                continue
            key_json = key_to_json(mutation.key)
            if kind == "set":
                effects.append(Put(key, key_json, str(mutation.operand)))
                continue
            row = rows.get(key)
            if row is not None and row.expires_at is not None and row.expires_at <= now_ms:
                row = None
            value = changed_number(mutation, None if row is None else row.value)
            if value is None:
                self._decide(job, write.in_full())
                return
            if row is None:
                seen = None
                effects.append(Put(key, key_json, value))
            else:
                seen = row.versionstamp
                effects.append(
                    Put(key, key_json, value, row.expires_at, row.metadata, type=row.type)
                )
            steps.append(guard_of(sql, key, seen, now_ms, pending=key in pending))
        if write.only_deletes:
            effects.append(NoteStamp())
        is_firm = self._is_firm
        versionstamp = self._stamps.make(now_ms)
        first_steps: list[int] = []
        for effect in effects:
            first_steps.append(len(steps))
            steps += effect.statements(sql, versionstamp, at, is_firm)
            self._apply(effect, versionstamp)
        if job.once is not None and not is_firm:
            steps.append(keep_stamp(sql, versionstamp))
        job.start(versionstamp, Decision(effects, None), steps, write.size)
        job.first_steps = first_steps

    def _apply(self, effect: Effect, versionstamp: str) -> int:
        """Make the effects of this write visible to later ones; return the size of its values."""
        rows, pending = self._rows, self._pending
        if isinstance(effect, Put):
            key = effect.key
            pending.add(key)
            before = rows.get(key)
            revision = 1
            if before is not None and not effect.is_anew:
                # Not for a key that no write in this group reads.
                ends = before.expires_at
                if ends is None or ends > self._at.now_ms:
                    revision = before.revision + 1
            rows[key] = Row(
                effect.value,
                versionstamp,
                effect.expires_at,
                effect.metadata,
                revision,
                effect.type,
            )
            return len(effect.value)
        if isinstance(effect, Enqueue):
            return len(effect.value)
        if isinstance(effect, Remove):
            keys = effect.keys
            if effect.condition is not EVERYTHING:
                pass  # whether it holds the database knows, and then the guards of those behind
            elif keys == single(keys.start):
                pending.add(keys.start)
                rows.pop(keys.start, None)
            else:
                gone = [key for key in rows if keys.start <= key < keys.end]
                pending.update(gone)
                for key in gone:
                    del rows[key]
        return 0


def takes_long(group: Sequence[WriteJob], rows: dict[bytes, Row]) -> bool:
    """Whether the decisions may take too long for the event loop."""
    for job in group:
        if job.write.is_long:
            return True
    for row in rows.values():
        size = len(row.value)
        # A long text, or a large number.
        if size > LONG_VALUE or (size > LONG_NUMBER_DIGITS and row.value.startswith('{"')):
            return True
    return False
