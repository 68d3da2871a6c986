"""Combines many commits into one: their effects, gathered by kind.

Each commit of a group is statements of this dialect. Whether they can be combined depends on their
conditions, which are known here as far as they concern the commits of the group: a key that one of
them writes exists for those behind it, whatever was there before. The statements of the whole group
find out the rest (see `group_texts`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import msgspec
from buntime_database import Batch, Guard, ResultSet, Statement, Value

from buntime_plugin_keyval.model.versionstamps import TAIL_BEGINS, milliseconds_of, moved, tail_of
from buntime_plugin_keyval.storage.dialects.sqlite import group_texts as texts
from buntime_plugin_keyval.storage.dialects.sqlite.keeping import KeptTogether
from buntime_plugin_keyval.storage.dialects.sqlite.log import LOG
from buntime_plugin_keyval.storage.dialects.sqlite.queue import ENQUEUE, ENQUEUE_ADDED
from buntime_plugin_keyval.storage.dialects.sqlite.replays import REPLAYS
from buntime_plugin_keyval.storage.dialects.sqlite.values import ADD_LONG_VALUE
from buntime_plugin_keyval.storage.dialects.sqlite.writes import (
    FIRM,
    LATE,
    LOG_REMOVE_FIRM,
    LOG_REMOVE_ONE_LATE,
    REMOVE,
    WRITES,
)
from buntime_plugin_keyval.storage.ranges import single

_NOTHING = ResultSet((), [], 0)
_DONE = ResultSet((), [], 1)
_TOLD = ("versionstamp",)


class Different(Exception):
    """A commit has an effect that is not gathered here, or does not fit to the others."""


class _Logging(NamedTuple):
    """The log row of one commit."""

    commit: int
    key: bytes
    is_removal: bool
    is_sure: bool
    """Whether it logs, and not only if the key is there."""
    writes: int
    """How often the group has put the key so far, since it removed it."""
    counts_on: int
    """1 where those follow the writes of an entry that may be there, else 0."""
    type: str | int | None
    """Of the entry; `texts.TYPE_THERE` where the group did not write it."""


class _Stored(NamedTuple):
    """The last that a group makes of a key."""

    key_json: str
    value: str
    size: int
    """Of a long value, which does not stand in its row; 0 for another one."""
    stamp: str
    expires_at: int | None
    metadata: str | None
    type: str | None
    writes: int
    """How often the group puts it, where it was not removed in between."""


class _Message(NamedTuple):
    id: str
    value: str
    size: int
    """As that of an entry."""
    others: tuple[Value, ...]


class Gathered(NamedTuple):
    """A group as one batch."""

    batch: Batch
    logging_step: int | None
    stamping_step: int | None
    """Indexes of the batch's steps that write the log, and the stamp of late ones."""
    keeping_step: int | None
    """Index of the step that keeps results."""


class CommitGroup:
    """The combined effects of a group, as they grow."""

    def __init__(self) -> None:
        self._now: int | None = None
        self._wall = 0
        self._is_firm: bool | None = None
        self._stamps: list[str] = []
        """Of each commit; empty for one that needs none."""
        self._guards: list[tuple[int, int, tuple[str, Value, int]]] = []
        """Commit, place in it, what is asked."""
        self._rests: list[tuple[int, int, int]] = []
        """Commit, place of its guard, the earlier commit that this one rests on."""
        self._logging: list[_Logging | None] = []
        """None for what logs nothing, whatever there is."""
        self._stored: dict[bytes, _Stored] = {}
        self._removed: dict[bytes, bool] = {}
        """Keys that are removed before anything is stored; whether even if they have expired."""
        self._added: str | None = None
        """A long value that the statement before has added."""
        self._messages: list[_Message] = []
        self._is_noted = False
        self._kept = KeptTogether()
        self._is_there: dict[bytes, bool] = {}
        """Whether keys are there, as guards say or earlier commits make them."""
        self._last: dict[bytes, tuple[int, str | None]] = {}
        """Of each key that is changed: by which commit; the end of its stamp, None if removed."""

    def add(self, batch: Batch) -> None:
        """Add the next commit. Raises `Different`."""
        if not batch.bounded:
            raise Different
        number = len(self._stamps)
        self._stamps.append("")
        for place, step in enumerate(batch.steps):
            if isinstance(step, Guard):
                self._guard(number, place, step)
                continue
            add = _STEPS.get(step.sql)
            if add is None:
                raise Different
            add(self, number, step.args)
        if self._added is not None:
            raise Different

    def _guard(self, number: int, place: int, guard: Guard) -> None:
        if guard.condition == REPLAYS.none_since:
            if not self._kept.look(guard.args):
                raise Different
            return
        begins = _GUARDS.get(guard.condition)
        if begins is None:
            raise Different
        key, now, stamp = guard.args
        self._is_at(now)
        last = self._last.get(key)  # type: ignore[arg-type] # a BLOB
        if last is None:
            self._guards.append((number, place, (key.hex(), stamp, begins)))  # type: ignore[union-attr] # so
            self._is_there[key] = stamp is not None  # type: ignore[index] # so
            return
        # It depends on the state that an earlier commit in this group will leave.
        earlier, tail = last
        if earlier == number or stamp != tail or (tail is not None and begins == 1):
            raise Different
        self._rests.append((number, place, earlier))

    def _is_at(self, now: Any) -> None:
        if self._now is None:
            self._now = now
        elif self._now != now:
            raise Different

    def _has(self, number: int, stamp: Any, *, is_firm: bool) -> None:
        if self._is_firm is None:
            self._is_firm = is_firm
        if self._is_firm != is_firm or self._stamps[number] not in ("", stamp):
            raise Different
        self._stamps[number] = stamp

    def log_put(
        self, number: int, args: Sequence[Any], *, is_firm: bool, is_anew: bool = False
    ) -> None:
        key, stamp, now, kind = args
        self._is_at(now)
        self._has(number, stamp, is_firm=is_firm)
        stored = None if is_anew else self._stored.get(key)
        writes = 1 if stored is None else stored.writes + 1
        counts_on = int(not is_anew and key not in self._removed)
        self._logging.append(_Logging(number, key, False, True, writes, counts_on, kind))

    def put(self, number: int, args: Sequence[Any], *, is_anew: bool, is_long: bool) -> None:
        key, key_json, value, stamp, expires_at, metadata, wall, kind, *_ = args
        if expires_at is not None and self._now is not None and expires_at <= self._now:
            raise Different  # what follows it in the group finds nothing
        self._wall = wall
        writes = 1
        if is_anew:
            self._removed.setdefault(key, False)
        elif key in self._stored:
            writes += self._stored[key].writes
        text, size = self._value(value, is_long=is_long)
        about = (expires_at, metadata, kind, writes)
        self._stored[key] = _Stored(key_json, text, size, stamp, *about)
        self._is_there[key] = True
        self._last[key] = (number, tail_of(stamp))

    def add_long(self, _: int, args: Sequence[Any]) -> None:
        if self._added is not None:
            raise Different
        self._added = args[0]

    def _value(self, given: Any, *, is_long: bool) -> tuple[str, int]:
        """A value and its size, where a statement is given the size alone if it is long."""
        added, self._added = self._added, None
        if is_long != (added is not None):
            raise Different
        return (given, 0) if added is None else (added, given)

    def log_removal(self, number: int, args: Sequence[Any], *, is_firm: bool) -> None:
        stamp, now, key, end, _ = args
        if (key, end) != single(key):
            raise Different
        self._is_at(now)
        self._has(number, stamp, is_firm=is_firm)
        is_there = self._is_there.get(key)
        if is_there is False:
            self._logging.append(None)
        else:
            stored = self._stored.get(key)
            writes, kind = (0, texts.TYPE_THERE) if stored is None else (stored.writes, stored.type)
            counts_on = int(key not in self._removed)
            is_sure = is_there is True
            self._logging.append(_Logging(number, key, True, is_sure, writes, counts_on, kind))

    def remove(self, number: int, args: Sequence[Any]) -> None:
        key = args[0]
        was_stored = self._stored.pop(key, None) is not None
        self._removed[key] = was_stored or self._removed.get(key, False)
        self._is_there[key] = False
        self._last[key] = (number, None)

    def keep(self, number: int, args: Sequence[Any]) -> None:
        self._kept.keep(number, args)

    def keep_count(self, number: int, args: Sequence[Any]) -> None:
        """Of the statement before, which logs."""
        logged = self._logging[-1] if self._logging else None
        if logged is None:
            self._kept.count(args[0], 0, b"", "")
        else:
            tail = tail_of(self._stamps[number])
            self._kept.count(args[0], 1 if logged.is_sure else None, logged.key, tail)

    def note(self, number: int, args: Sequence[Any], *, is_firm: bool) -> None:
        self._has(number, args[0], is_firm=is_firm)
        self._is_noted = True

    def enqueue(self, _: int, args: Sequence[Any], *, is_long: bool) -> None:
        message_id, value, ready_at, most, backoff, keys, wall, now = args
        self._is_at(now)
        self._wall = wall
        text, size = self._value(value, is_long=is_long)
        self._messages.append(_Message(message_id, text, size, (ready_at, most, backoff, keys)))

    def questions(self) -> Statement:
        """The query for the numbers of the guards that do not hold."""
        return Statement(texts.NOT_SO, self._asked())

    def _asked(self) -> tuple[str, int]:
        return _json([asked for *_, asked in self._guards]), self._now or 0

    def taken(self) -> dict[int, int]:
        """The commits that fail if others keep something under their keys, and their guards."""
        return dict.fromkeys(self._kept.commits, 0)

    def refused(self, broken: Sequence[int]) -> dict[int, int]:
        """The commits that fail where these guards do not hold, and their guards that tell."""
        found: dict[int, int] = {}
        for number in sorted(broken):
            commit, place, _ = self._guards[number]
            found.setdefault(commit, place)
        for commit, place, earlier in self._rests:
            if earlier in found:
                found.setdefault(commit, place)
        return found

    def gather(self, *, is_told: bool) -> Gathered:
        """All of it as one batch; `is_told` says whether its results are needed."""
        now, is_late = self._now or 0, self._is_firm is False
        stamps = [stamp for stamp in self._stamps if stamp]
        numbers = (milliseconds_of(stamps[0]), milliseconds_of(stamps[-1])) if is_late else (0, 0)
        steps: list[Guard | Statement] = []
        recalls: dict[int, str] = {}
        logging_step = stamping_step = keeping_step = None
        if self._kept.commits:
            keeping_step = 1
            steps += (self._kept.guard(), self._kept.row())
        if self._guards:
            steps.append(Guard(texts.ALL_HOLD, self._asked()))
        if is_late:
            stamping_step = len(steps)
            recalls[stamping_step] = texts.NOTED
            span = numbers[1] - numbers[0]
            steps.append(Statement(texts.NOTE_LATE, (stamps[0], stamps[-1], span)))
        long = [one.value for one in self._stored.values() if one.size]
        long += [one.value for one in self._messages if one.size]
        if long:
            steps.append(Statement(texts.ADD_LONG_VALUES, (_json(long),)))
        distances = iter(range(len(long) - 1, -1, -1))
        logging = [one for one in self._logging if one is not None]
        if logging:
            logging_step = len(steps)
            if is_told and sum(not one.is_sure for one in logging) > 1:
                recalls[logging_step] = texts.logged(len(logging))
            rows = _json([self._log_row(one, is_late=is_late) for one in logging])
            if is_late:
                steps.append(Statement(texts.LOG_LATE, (rows, now, numbers[1])))
            else:
                steps.append(Statement(texts.LOG_FIRM, (rows, now)))
        counts = self._kept.counts(len(logging))
        if counts is not None:
            steps.append(counts)
        if self._removed:
            keys = _json([key.hex() for key in self._removed])
            always = _json([key.hex() for key, is_so in self._removed.items() if is_so])
            steps.append(Statement(texts.REMOVE_ALL, (keys, now, always)))
        if self._stored:
            steps.append(self._storing(distances, now, numbers[1], is_late=is_late))
        if self._messages:
            rows = _json([
                (one.id, *_placed(one.value, one.size, distances), *one.others)
                for one in self._messages
            ])  # fmt: skip
            steps.append(Statement(texts.ENQUEUE, (rows, now, self._wall)))
        if self._is_noted and not is_late:
            steps.append(Statement(LOG.note_stamp, (stamps[-1],)))
        if is_late and self._kept.commits:
            steps.append(self._kept.late_stamps(lambda n: bool(self._stamps[n]), numbers[1]))
        told = (logging_step, stamping_step, keeping_step) if is_told else ()
        wanted = [step for step in told if step is not None]
        batch = Batch(steps, True, wanted, recalls)
        return Gathered(batch, logging_step, stamping_step, keeping_step)

    def _log_row(self, one: _Logging, *, is_late: bool) -> tuple[Value, ...]:
        stamp = self._stamps[one.commit]
        operation = "delete" if one.is_removal else "set"
        is_sure = None if one.is_sure else 1
        row = (one.key.hex(), stamp, operation, is_sure, one.writes, one.counts_on, one.type)
        return (*row, milliseconds_of(stamp)) if is_late else row

    def _storing(
        self, distances: Iterator[int], now: int, last_ms: int, *, is_late: bool
    ) -> Statement:
        rows: list[tuple[Value, ...]] = []
        for key, (json, value, size, stamp, *others) in self._stored.items():
            row = (key.hex(), json, *_placed(value, size, distances), stamp, *others)
            rows.append((*row, milliseconds_of(stamp)) if is_late else row)
        text = texts.PUT_LATE if is_late else texts.PUT_FIRM
        return Statement(text, (_json(rows), now, last_ms, self._wall))

    def outcomes(
        self, batches: Sequence[Batch], gathered: Gathered, results: Sequence[ResultSet]
    ) -> list[list[ResultSet]]:
        """The results of each commit's steps."""
        given = self._given(gathered, results)
        logged = iter(self._logged(gathered, results))
        outcomes: list[list[ResultSet]] = []
        for batch, stamp in zip(batches, given, strict=True):
            outcome: list[ResultSet] = []
            seq: int | None = None
            for step in batch.steps:
                if isinstance(step, Guard):
                    outcome.append(_NOTHING)
                elif step.sql in LOGGING:
                    seq = next(logged)
                    rows: list[tuple[Value, ...]] = [(stamp,)] if self._is_firm is False else []
                    done = ResultSet(_TOLD if rows else (), rows, 1, seq)
                    outcome.append(_NOTHING if seq is None else done)
                elif step.sql == REPLAYS.keep and gathered.keeping_step is not None:
                    outcome.append(results[gathered.keeping_step])
                elif step.sql == LOG.note_stamp_late:
                    outcome.append(ResultSet(_TOLD, [(stamp,)], 1))
                else:
                    has_done = step.sql != REMOVE or seq is not None
                    outcome.append(_DONE if has_done else _NOTHING)
            outcomes.append(outcome)
        return outcomes

    def _given(self, gathered: Gathered, results: Sequence[ResultSet]) -> list[str]:
        """The stamps that the commits have got."""
        if gathered.stamping_step is None:
            return self._stamps
        ((noted,),) = results[gathered.stamping_step].rows
        made = [stamp for stamp in self._stamps if stamp][-1]
        shift = milliseconds_of(str(noted)) - milliseconds_of(made)
        return [stamp and moved(stamp, shift) for stamp in self._stamps]

    def _logged(self, gathered: Gathered, results: Sequence[ResultSet]) -> list[int | None]:
        """The position in the log of the change of each statement that logs; None for none."""
        if gathered.logging_step is None:
            return [None] * len(self._logging)
        result = results[gathered.logging_step]
        logging = [one for one in self._logging if one is not None]
        sure = sum(one.is_sure for one in logging)
        if result.rowcount in (sure, len(logging)):
            told: set[Value] = set()
            is_all = result.rowcount == len(logging)
        else:
            told = {row[0] for row in result.rows}
            is_all = False
        place = (result.lastrowid or 0) - result.rowcount
        places: list[int | None] = []
        for one in self._logging:
            if one is not None and (one.is_sure or is_all or self._change(one) in told):
                place += 1
                places.append(place)
            else:
                places.append(None)
        return places

    def _change(self, one: _Logging) -> str:
        """As `group_texts.logged` has it."""
        return tail_of(self._stamps[one.commit]) + one.key.hex().upper()


_Step: TypeAlias = Callable[[CommitGroup, int, Sequence[Any]], None]


def _placed(value: str, size: int, distances: Iterator[int]) -> tuple[Value, ...]:
    """What stands in the row of a value, how far its long one is from the last, and its size."""
    return ("", next(distances), size) if size else (value, None, 0)


def _putting(*, is_anew: bool, is_long: bool) -> _Step:
    return lambda group, number, args: group.put(number, args, is_anew=is_anew, is_long=is_long)


def _json(rows: Sequence[object]) -> str:
    return msgspec.json.encode(rows).decode()


_GUARDS: Mapping[str, int] = {WRITES.unchanged: 1, WRITES.unchanged_since: TAIL_BEGINS + 1}
"""By their texts: from which character on they compare a versionstamp."""

_STEPS: Mapping[str, _Step] = {
    FIRM.log: lambda group, number, args: group.log_put(number, args, is_firm=True),
    LATE.log: lambda group, number, args: group.log_put(number, args, is_firm=False),
    FIRM.log_anew: partial(CommitGroup.log_put, is_firm=True, is_anew=True),
    LATE.log_anew: partial(CommitGroup.log_put, is_firm=False, is_anew=True),
    **{put.put: _putting(is_anew=False, is_long=False) for put in (FIRM, LATE)},
    **{put.put_anew: _putting(is_anew=True, is_long=False) for put in (FIRM, LATE)},
    **{put.put_long: _putting(is_anew=False, is_long=True) for put in (FIRM, LATE)},
    **{put.put_long_anew: _putting(is_anew=True, is_long=True) for put in (FIRM, LATE)},
    ADD_LONG_VALUE: CommitGroup.add_long,
    LOG_REMOVE_FIRM: lambda group, number, args: group.log_removal(number, args, is_firm=True),
    LOG_REMOVE_ONE_LATE: lambda group, number, args: group.log_removal(number, args, is_firm=False),
    REMOVE: CommitGroup.remove,
    REPLAYS.keep: CommitGroup.keep,
    REPLAYS.keep_count: CommitGroup.keep_count,
    REPLAYS.keep_stamp: lambda *_: None,  # of all of them at once
    LOG.note_stamp: lambda group, number, args: group.note(number, args, is_firm=True),
    LOG.note_stamp_late: lambda group, number, args: group.note(number, args, is_firm=False),
    ENQUEUE: lambda group, number, args: group.enqueue(number, args, is_long=False),
    ENQUEUE_ADDED: lambda group, number, args: group.enqueue(number, args, is_long=True),
}

LOGGING = frozenset({
    *(FIRM.log, FIRM.log_anew, LATE.log, LATE.log_anew),
    *(LOG_REMOVE_FIRM, LOG_REMOVE_ONE_LATE),
})  # fmt: skip
