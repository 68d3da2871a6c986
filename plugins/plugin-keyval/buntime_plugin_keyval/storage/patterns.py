"""The keys that may fit a pattern, found part by part: a skip-scan.

All keys that fit begin with what is before the first `ANY` of the pattern. The parts that follow
are found by one seek in the index for each, skipping all keys that have it. These beginnings, with
the rest of the pattern, are the keys that fit if they exist, and are looked up. So the work grows
with the number of different parts at the places of `ANY`, and not with the number of entries.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from buntime_keyval.wire import part_end

from buntime_plugin_keyval.storage.database import Database
from buntime_plugin_keyval.storage.dialects.patterns import Seeking, where_to_look
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, hexadecimal, single
from buntime_plugin_keyval.storage.selection import RowCondition

FIRST_RUN = 32
MOST_IN_RUN = 512
"""The most keys that are looked up at a time; fewer at first, for callers that want a few."""

_GROUP = 64
"""The most beginnings after which one statement looks."""
_LEAST = 4
"""The number of parts that it looks for after each of them."""

Pieces = Sequence[bytes]
"""The encoded pieces of a pattern before, between and after its `ANY`s."""


class KeyRun(NamedTuple):
    """Some of the entries that fit: those in a range that meet a condition."""

    keys: KeyRange
    condition: RowCondition


class PatternWalk:
    """The entries in a range that fit a pattern and meet a condition, in consecutive runs."""

    def __init__(
        self,
        db: Database,
        pieces: Pieces,
        keys: KeyRange,
        condition: RowCondition,
        *,
        reverse: bool = False,
        fresh: bool = False,
    ) -> None:
        """Pass `fresh` for reads on which a decision is based."""
        self._among = db.sql.patterns.among
        self._keys = keys
        self._condition = condition
        self._reverse = reverse
        runs: _Runs = _Beginning(pieces[0])
        for piece in pieces[1:]:
            runs = _Behind(db, runs, piece, keys, reverse=reverse, fresh=fresh)
        self._runs = runs

    async def next(self) -> KeyRun | None:
        """The next run, which may have no entries; None when there are no more."""
        while keys := await self._runs.next():
            fitting = [key for key in keys if self._keys.start <= key < self._keys.end]
            if fitting:
                return self._run(fitting)
        return None

    def _run(self, keys: Sequence[bytes]) -> KeyRun:
        first, last = (keys[-1], keys[0]) if self._reverse else (keys[0], keys[-1])
        sql, others, recheck = self._condition
        text = f"{self._among} AND ({sql})" if sql else self._among
        condition = RowCondition(text, (hexadecimal(keys), *others), recheck)
        return KeyRun(KeyRange(first, single(last).end), condition)


class _Runs(Protocol):
    """Beginnings of keys, or whole keys, some at a time."""

    async def next(self) -> list[bytes]:
        """The next ones; none at the end."""


class _Beginning:
    """The one beginning that all keys have."""

    def __init__(self, piece: bytes) -> None:
        self._left = [piece]

    async def next(self) -> list[bytes]:
        run, self._left = self._left, []
        return run


class _Found(NamedTuple):
    beginnings: Sequence[bytes]
    """The base, extended by each part that was found after it."""
    rest: Seeking | None
    """Where further ones may be, or None."""


class _Behind:
    """Extends beginnings by any one part, and then the next piece of the pattern."""

    def __init__(
        self,
        db: Database,
        bases: _Runs,
        piece: bytes,
        keys: KeyRange,
        *,
        reverse: bool,
        fresh: bool,
    ) -> None:
        self._db = db
        self._bases = bases
        self._piece = piece
        self._keys = keys
        self._reverse = reverse
        self._fresh = fresh
        self._waiting: Sequence[bytes] = ()
        """Beginnings that are not extended yet."""
        self._found: deque[_Found] = deque()
        self._most = FIRST_RUN

    async def next(self) -> list[bytes]:
        run: list[bytes] = []
        while len(run) < self._most:
            if not self._found:
                if not await self._look():
                    break
                continue
            found = self._found.popleft()
            if not found.beginnings and found.rest is not None:
                (found,) = await self._seek([found.rest], self._most)
            run += [beginning + self._piece for beginning in found.beginnings]
            if found.rest is not None:
                self._found.appendleft(_Found((), found.rest))
        self._most = min(2 * self._most, MOST_IN_RUN)
        return run

    async def _look(self) -> bool:
        """Extend the next beginnings; whether there were any."""
        if not self._waiting:
            self._waiting = await self._bases.next()
        group, self._waiting = self._waiting[:_GROUP], self._waiting[_GROUP:]
        asked = [seeking for base in group if (seeking := self._behind(base)) is not None]
        if asked:
            self._found += await self._seek(asked, max(_LEAST, self._most // len(asked)))
        return bool(group)

    def _behind(self, base: bytes) -> Seeking | None:
        """Where to look after a base; None if that is outside of the range."""
        below = descendants(base)
        keys = KeyRange(max(below.start, self._keys.start), min(below.end, self._keys.end))
        return Seeking(base, keys) if keys.start < keys.end else None

    async def _seek(self, asked: Sequence[Seeking], each: int) -> list[_Found]:
        """Find at most `each` parts for each."""
        sql = self._db.sql.patterns.seek[self._reverse]
        rows = await self._db.adapter.query(sql, (where_to_look(asked), each), fresh=self._fresh)
        beginnings: list[list[bytes]] = [[] for _ in asked]
        is_all = [False] * len(asked)
        for number, key in rows:
            # The types are those of the operation.
            place: int = number  # type: ignore[assignment]
            if key is None:
                is_all[place] = True
            else:
                code: bytes = key  # type: ignore[assignment]
                beginnings[place].append(code[: part_end(code, len(asked[place].base))])
        return [
            _Found(found, None if ended else self._rest(seeking, found[-1]))
            for seeking, found, ended in zip(asked, beginnings, is_all, strict=True)
        ]

    def _rest(self, seeking: Seeking, last: bytes) -> Seeking:
        """Where to look for the parts after the last one."""
        keys = seeking.keys
        if self._reverse:
            return seeking._replace(keys=keys.before(last))
        return seeking._replace(keys=keys.from_key(descendants(last).end))
