"""A group of commits as one call of one function of the server.

Each batch of the group is statements of this dialect. Their combined effect is put into arrays, on
which the function works as on sets: that costs a fraction of a statement for each, and guards that
do not hold are reported, where an error would undo all. Batches with other statements than the
common ones go the engine's own way, which is right for all of them.

Most groups only put values, each under another key. These have a function of their own, and go to
it as texts with a line for each put: arrays cost the driver and the server several times as much.

The functions remember what became of the last group of each writer. So a call whose answer was lost
is made again, and the outcome is known.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, NamedTuple

import msgspec
from buntime_database import (
    Adapter,
    Batch,
    ConstraintViolation,
    DatabaseError,
    DatabaseUnavailable,
    Guard,
    GuardFailed,
    OutcomeUnknown,
    ResultSet,
    Statement,
    Value,
)

from buntime_plugin_keyval.model.versionstamps import TAIL_BEGINS, tail_of
from buntime_plugin_keyval.storage.dialects.dialect import Outcome
from buntime_plugin_keyval.storage.dialects.moving import is_closed
from buntime_plugin_keyval.storage.dialects.postgres.log import LOG
from buntime_plugin_keyval.storage.dialects.postgres.queue import ENQUEUE
from buntime_plugin_keyval.storage.dialects.postgres.writes import (
    PUT_FIRM,
    PUT_LATE,
    REMOVE_FIRM,
    REMOVE_LATE,
    WRITES,
)
from buntime_plugin_keyval.storage.ranges import single

COMMIT = (
    "SELECT stale, failed, given, positions FROM kv_commit("
    + ", ".join(f"${number}" for number in range(1, 32))
    + ")"
)
PUT_EACH = "SELECT stale, before FROM kv_put_each($1, $2, $3, $4, $5, $6, $7, $8)"

_NOTHING = ResultSet((), [], 0)
_TOLD = ("versionstamp", "seq")
_NOTED = ("versionstamp",)


_Row = tuple[Any, ...]


class _Other(Exception):
    """The group has something that the function does not do."""


class _Group:
    """The arguments of one call, as they grow: rows of the later arrays."""

    def __init__(self) -> None:
        self.now: int | None = None
        self.wall = 0
        self.is_firm = True
        self.stamps: list[str] = []
        self.guards: list[_Row] = []
        """Commit, place, key, versionstamp or its random part, where that begins."""
        self.rests: list[_Row] = []
        """Commit, place of its guard, the earlier commit that this one rests on."""
        self.changes: list[_Row] = []
        """Commit, whether it puts, key, its JSON, value, expiry, metadata, whether anew, type."""
        self.notes: list[int] = []
        self.messages: list[_Row] = []
        """Commit, id, value, when it is ready, attempts, backoff, keys if undelivered."""
        self.is_plain = True
        """Whether all changes are puts, and no two of them of one key."""
        self._last: dict[bytes, tuple[int, str | None]] = {}
        """Of each key that is changed: by which commit; its random part, None for a deletion."""

    def add(self, batch: Batch) -> None:
        """Add the next commit. Raises `_Other`."""
        number = len(self.stamps) + 1
        self.stamps.append("")
        for place, step in enumerate(batch.steps):
            if isinstance(step, Guard):
                self._guard(number, place, step)
            else:
                add = _STEPS.get(step.sql)
                if add is None:
                    raise _Other
                add(self, number, step.args)
        if not self.stamps[-1]:
            raise _Other

    def args(self) -> list[Any]:
        """The arguments of the function, behind writer and number."""
        return [
            *(self.now or 0, self.wall, int(self.is_firm), self.stamps),
            *(*_columns(self.guards, 5), *_columns(self.rests, 3), *self._told_changes()),
            *(self.notes, *_columns(self.messages, 7)),
        ]

    def _told_changes(self) -> tuple[list[Any], ...]:
        """The arrays of the changes; those that would say nothing are empty, which costs less."""
        told = _columns(self.changes, 9)
        commits, puts, keys, jsons, values, expiries, metadata, are_anew, types = told
        if self.is_plain:
            puts, are_anew = [], []
        expiries, metadata, types = map(_unless_empty, (expiries, metadata, types))
        return commits, puts, keys, jsons, values, expiries, metadata, are_anew, types

    def _guard(self, number: int, place: int, guard: Guard) -> None:
        since = _GUARDS.get(guard.condition)
        if since is None:
            raise _Other
        key, now, stamp = guard.args
        self._is_at(now)
        last = self._last.get(key)  # type: ignore[arg-type] # a BLOB
        if last is None:
            self.guards.append((number, place, key, stamp, since))
            return
        # It depends on the state that an earlier commit in this group will leave.
        earlier, tail = last
        if earlier == number or stamp != tail or (tail is not None and since == 1):
            raise _Other
        self.rests.append((number, place, earlier))

    def _is_at(self, now: Any) -> None:
        if self.now is None:
            self.now = now
        elif self.now != now:
            raise _Other

    def _has(self, number: int, stamp: Any, *, is_firm: bool) -> None:
        if number == 1 and not self.stamps[0]:
            self.is_firm = is_firm
        if is_firm != self.is_firm or self.stamps[number - 1] not in ("", stamp):
            raise _Other
        self.stamps[number - 1] = stamp

    def put(self, number: int, args: Sequence[Any], *, is_firm: bool) -> None:
        key, json, value, stamp, expires_at, metadata, wall, now, is_anew, kind = args
        self._is_at(now)
        if expires_at is not None and expires_at <= now:
            raise _Other  # what follows it in the group finds nothing
        self._has(number, stamp, is_firm=is_firm)
        self.wall = wall
        told = (key, json, value, expires_at, metadata, bool(is_anew), kind)
        self.changes.append((number, True, *told))
        self.is_plain = self.is_plain and not is_anew and key not in self._last
        self._last[key] = (number, tail_of(stamp))

    def remove(self, number: int, args: Sequence[Any], *, is_firm: bool) -> None:
        stamp, now, key, end, _ = args
        if (key, end) != single(key):
            raise _Other
        self._is_at(now)
        self._has(number, stamp, is_firm=is_firm)
        self.changes.append((number, False, key, None, None, None, None, False, None))
        self.is_plain = False
        self._last[key] = (number, None)

    def note(self, number: int, args: Sequence[Any], *, is_firm: bool) -> None:
        self._has(number, args[0], is_firm=is_firm)
        self.notes.append(number)

    def enqueue(self, number: int, args: Sequence[Any]) -> None:
        message_id, value, ready_at, most, backoff, keys, wall, now = args
        self._is_at(now)
        self.wall = wall
        self.messages.append((number, message_id, value, ready_at, most, backoff, keys))


def _columns(rows: Sequence[_Row], width: int) -> list[list[Any]]:
    """Rows as columns, so many of them where there is no row."""
    return [*map(list, zip(*rows, strict=True))] or [[] for _ in range(width)]


def _unless_empty(column: list[Any]) -> list[Any]:
    """A column, or none where all of it is None: the server fills it with NULL."""
    return [] if column.count(None) == len(column) else column


_GUARDS: Mapping[str, int] = {WRITES.unchanged: 1, WRITES.unchanged_since: TAIL_BEGINS + 1}
"""By their texts: from which character on they compare a versionstamp."""

_STEPS: Mapping[str, Callable[[_Group, int, Sequence[Any]], None]] = {
    PUT_FIRM: lambda group, number, args: group.put(number, args, is_firm=True),
    PUT_LATE: lambda group, number, args: group.put(number, args, is_firm=False),
    REMOVE_FIRM: lambda group, number, args: group.remove(number, args, is_firm=True),
    REMOVE_LATE: lambda group, number, args: group.remove(number, args, is_firm=False),
    LOG.note_stamp: lambda group, number, args: group.note(number, args, is_firm=True),
    LOG.note_stamp_late: lambda group, number, args: group.note(number, args, is_firm=False),
    ENQUEUE: _Group.enqueue,
}

_CHANGING = frozenset({PUT_FIRM, PUT_LATE, REMOVE_FIRM, REMOVE_LATE})


class _Puts(NamedTuple):
    """A group that puts a value under each of some keys, and nothing besides."""

    now: int
    wall: int
    stamps: Sequence[str]
    told: Sequence[str]
    """Stamps, keys as hexadecimal digits, their JSON, and values, with a line for each put."""


def _puts(batches: Sequence[Batch]) -> _Puts | None:
    """The puts of a group; None for a group of another kind."""
    rows = []
    for batch in batches:
        if len(batch.steps) != 1:
            return None
        step = batch.steps[0]
        if not isinstance(step, Statement) or step.sql != PUT_FIRM:
            return None
        rows.append(step.args)
    columns: Iterator[tuple[Any, ...]] = zip(*rows, strict=True)
    keys, jsons, values, stamps, expiries, metadata, walls, nows, are_anew, types = columns
    number = len(rows)
    if any(column.count(None) != number for column in (expiries, metadata, types)):
        return None
    if len(set(keys)) != number or nows.count(nows[0]) != number or any(are_anew):
        return None
    columns_told = (stamps, map(bytes.hex, keys), jsons, values)
    told = ["\n".join(column) for column in columns_told]
    # JSON has no line breaks in it; any text that is not JSON goes the other way.
    if any(lines.count("\n") != number - 1 for lines in told):
        return None
    return _Puts(nows[0], walls[-1], stamps, told)


class GroupCommit:
    """Commits groups of one writer to one database, one after the other."""

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter
        self._writer = uuid.uuid4().hex
        self._number = 0

    async def __call__(self, batches: Sequence[Batch]) -> Sequence[Outcome]:
        puts = _puts(batches) if batches else None
        if puts is not None:
            args = [puts.now, puts.wall, *puts.told]
            outcome = await self._call(PUT_EACH, args)
            if not isinstance(outcome, DatabaseError):
                return _outcomes_of_puts(batches, puts.stamps, outcome[0])
        else:
            group = _Group()
            try:
                for batch in batches:
                    group.add(batch)
            except _Other:
                return await self._adapter.batch_each(batches)
            outcome = await self._call(COMMIT, group.args())
            if not isinstance(outcome, DatabaseError):
                return _outcomes(batches, group, outcome[0])
        # A store that is closed for a move refuses each of them, at every attempt.
        if isinstance(outcome, DatabaseUnavailable | OutcomeUnknown) or is_closed(outcome):
            return [outcome] * len(batches)
        # Something in it is refused, and so all of it: each by itself then.
        return await self._adapter.batch_each(batches)

    async def _call(self, function: str, args: Sequence[Any]) -> Outcome:
        """Call one of the functions for the next group of this writer."""
        self._number += 1
        call = Statement(function, [self._writer, self._number, *args])
        (outcome,) = await self._adapter.batch_each([Batch([call], bounded=True, repeatable=True)])
        return outcome


def _stale(batches: Sequence[Batch]) -> list[Outcome]:
    return [ConstraintViolation("others have committed since with a later stamp")] * len(batches)


def _outcomes_of_puts(
    batches: Sequence[Batch], stamps: Sequence[str], result: ResultSet
) -> list[Outcome]:
    ((stale, before),) = result.rows
    if stale:
        return _stale(batches)
    told = zip(batches, stamps, count(int(before or 0) + 1), strict=False)
    return [
        [_NOTHING]
        if batch.wanted is not None and not batch.wanted
        else [ResultSet(_TOLD, [(stamp, seq)], 1)]
        for batch, stamp, seq in told
    ]


def _outcomes(batches: Sequence[Batch], group: _Group, result: ResultSet) -> list[Outcome]:
    ((stale, failed, given, positions),) = result.rows
    if stale:
        return _stale(batches)
    places: list[int] = msgspec.json.decode(str(failed))
    told = iter(msgspec.json.decode(str(positions)))
    stamps = group.stamps if given is None else msgspec.json.decode(str(given))
    outcomes: list[Outcome] = []
    for batch, place, stamp in zip(batches, places, stamps, strict=True):
        results: list[ResultSet] = []
        for step in batch.steps:
            if isinstance(step, Statement) and step.sql in _CHANGING:
                seq = next(told)
                rows: list[tuple[Value, ...]] = [(stamp, seq)] if seq else []
                results.append(ResultSet(_TOLD, rows, len(rows)))
            elif isinstance(step, Statement):
                is_told = step.sql == LOG.note_stamp_late
                results.append(ResultSet(_NOTED, [(stamp,)] if is_told else [], 1))
            else:
                results.append(_NOTHING)
        outcomes.append(results if place < 0 else GuardFailed(place))
    return outcomes
