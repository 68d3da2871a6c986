"""Pages of snapshots, and the snapshots that are held for further pages.

The first page of a snapshot is read from where the next ones will be: a read transaction, or a copy
of all entries of the list. The worker that was asked holds that for a while; the cursor names the
worker and the id of the snapshot. If it is no longer held, a page is read from the store, provided
that the log shows no change in it since.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from time import monotonic
from typing import NamedTuple

from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.shapes import Shape

from buntime_plugin_keyval.engine.loop import Loop
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Part
from buntime_plugin_keyval.features.snapshots.cursors import Cursor, parse_cursor
from buntime_plugin_keyval.features.snapshots.held import Held, hold
from buntime_plugin_keyval.model.errors import SnapshotGone
from buntime_plugin_keyval.model.where import OfType, Where
from buntime_plugin_keyval.storage.ranges import KeyRange, single
from buntime_plugin_keyval.storage.selection import Selection
from buntime_plugin_keyval.storage.snapshots import Rows, is_unchanged, read_page
from buntime_plugin_keyval.storage.within import Text

ATTEMPTS = 3
"""How often the first page is tried if nothing is held and it is being written to."""

LINGER_SECONDS = 2.0
"""How long a snapshot is held after its last page."""

SKEW_MS = 300_000
"""How far the clocks of two hosts may differ."""


class SnapshotPage(NamedTuple):
    """Entries as JSON, and the cursor of the next page, if there is one."""

    entries: Sequence[Text]
    cursor: str | None


class _Open:
    def __init__(self, held: Held, now_ms: int) -> None:
        self.held = held
        self.now_ms = now_ms
        self.begun = self.used = monotonic()
        self.turn = asyncio.Lock()


class Snapshots(Part):
    """The snapshots of one worker."""

    def __init__(
        self, store: Store, *, most: int, idle_ms: int, age_ms: int, logged_ms: int
    ) -> None:
        """A bounded number of snapshots is held; those that are idle or too old are released.

        The log reaches back `logged_ms`, and so do snapshots that are not held.
        """
        self._store = store
        self._most = most
        self._most_bytes = store.limits.answer_bytes
        self._idle_s = idle_ms / 1000
        self._age_s = age_ms / 1000
        self._logged_ms = logged_ms
        self._open: OrderedDict[str, _Open] = OrderedDict()
        self._loop = Loop(
            self._step,
            "keyval-snapshots",
            logger=store.logger,
            complaint="Snapshots could not be let go: %s",
        )
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def loops(self) -> Mapping[str, Loop]:
        return {"letting snapshots go": self._loop}

    def start(self) -> None:
        """Do nothing: the first snapshot that is held starts the loop."""

    @property
    def held_count(self) -> int:
        """The number of snapshots that are held now."""
        return len(self._open)

    def worker_of(self, text: str | None) -> int | None:
        """The other worker that holds the snapshot of a cursor, if any. Raises `InvalidInput`."""
        cursor = parse_cursor(text) if text else None
        workers = self._store.peers.workers
        if cursor is None or not cursor.id or cursor.id in self._open:
            return None
        is_other = cursor.worker != workers.number and 0 <= cursor.worker < workers.count
        return cursor.worker if is_other else None

    async def page(
        self,
        keys: KeyRange,
        *,
        limit: int,
        cursor: str | None = None,
        reverse: bool = False,
        where: Where | OfType | None = None,
        shape: Shape,
    ) -> SnapshotPage:
        """A page of the entries in a range, from the snapshot that the first page began.

        Raises `SnapshotGone`, and `InvalidInput` for a cursor that is not of this list.
        """
        place = parse_cursor(cursor) if cursor else None
        if cursor and place is None:
            raise InvalidInput("The cursor is not one of a snapshot: begin without a cursor")
        now_ms = self._store.clock.now() if place is None else place.now_ms
        condition = self._store.condition(where, [keys], now_ms)
        selection = Selection(keys, limit + 1, reverse, condition, shape)
        # It is unknown how long such reads take, and each snapshot has a thread of its own: so
        # they take turns.
        async with self._store.long_reads.turn_of(condition):
            if place is None:
                return await self._first(selection, now_ms)
            return await self._next(selection.behind(place.key), place)

    async def close(self) -> None:
        """Release all snapshots. Idempotent."""
        self._closed = True
        await self._loop.stop()
        self._drop(list(self._open))
        while self._closing:
            await asyncio.wait(self._closing)

    async def _first(self, selection: Selection, now_ms: int) -> SnapshotPage:
        held = await hold(self._store.db, selection, now_ms, self._most_bytes)
        if held is None:
            return await self._first_unheld(selection, now_ms)
        rows = None
        try:
            rows = await held.page(selection, now_ms, self._most_bytes)
        finally:
            has_more = rows is not None and _has_more(selection, rows)
            if not has_more or self._closed:
                await held.close()
        if rows is None:
            raise SnapshotGone
        id_ = secrets.token_hex(8)
        if has_more and not self._closed:
            self._keep(id_, _Open(held, now_ms))
        worker = self._store.peers.workers.number
        return _page(selection, rows, Cursor(b"", held.place, now_ms, worker, id_))

    async def _first_unheld(self, selection: Selection, now_ms: int) -> SnapshotPage:
        for _ in range(ATTEMPTS):
            place = await self._store.newest_place(fresh=True)
            try:
                return await self._unheld(selection, Cursor(b"", place, now_ms, 0, ""))
            except SnapshotGone:
                continue  # an entry was changed in between
        raise SnapshotGone

    async def _next(self, selection: Selection, cursor: Cursor) -> SnapshotPage:
        opened = self._open.get(cursor.id)
        if opened is None or opened.held.place != cursor.place:
            self._check_time(cursor.now_ms)
            return await self._unheld(selection, cursor)
        self._open.move_to_end(cursor.id)
        opened.used = monotonic()
        async with opened.turn:
            rows = await opened.held.page(selection, opened.now_ms, self._most_bytes)
        opened.used = monotonic()
        if rows is None:
            raise InvalidInput("The cursor is one of another list: range, filter or shape differ")
        if not _has_more(selection, rows):
            # Not at once: the answer may be lost, and the last page asked for again.
            asyncio.get_running_loop().call_later(LINGER_SECONDS, self._drop, [cursor.id])
        return _page(selection, rows, cursor)

    def _check_time(self, now_ms: int) -> None:
        """Raise `SnapshotGone` for a time at which it cannot be told what has expired.

        With an earlier one clients would see entries that have expired and are not removed yet. A
        later one may be made up, or be from a host whose clock is further ahead.
        """
        now = self._store.clock.now()
        if not now - self._logged_ms <= now_ms <= now + SKEW_MS:
            raise SnapshotGone

    async def _unheld(self, selection: Selection, cursor: Cursor) -> SnapshotPage:
        rows = await read_page(self._store.db, selection, cursor.now_ms, self._most_bytes)
        read = selection.keys
        if _has_more(selection, rows):
            last = rows.rows[-1][0]
            read = read.after(last) if selection.reverse else read.before(last)
        if rows.is_cut:  # then the last row is part of the page, too
            read = KeyRange(min(read.start, last), max(read.end, single(last).end))
        # Checked after the read: what is unchanged now was unchanged when it was read.
        if not await is_unchanged(self._store.db, cursor.place, read):
            raise SnapshotGone
        return _page(selection, rows, cursor)

    def _keep(self, id_: str, opened: _Open) -> None:
        while len(self._open) >= self._most:
            self._drop([next(iter(self._open))])
        self._open[id_] = opened
        if len(self._open) == 1:
            self._loop.start()
            self._loop.wake()

    async def _step(self) -> float | None:
        """Release snapshots that are idle or too old; seconds until the next step."""
        now = monotonic()
        self._drop(
            [
                id_
                for id_, opened in self._open.items()
                if now - opened.used > self._idle_s or now - opened.begun > self._age_s
            ]
        )
        return min(self._idle_s, self._age_s) / 4 if self._open else None

    def _drop(self, ids: Iterable[str]) -> None:
        for id_ in ids:
            opened = self._open.pop(id_, None)
            if opened is not None:
                task = asyncio.create_task(_close(opened), name="keyval-snapshot")
                self._closing.add(task)
                task.add_done_callback(self._closing.discard)


async def _close(opened: _Open) -> None:
    async with opened.turn:
        await opened.held.close()


def _has_more(selection: Selection, rows: Rows) -> bool:
    """Whether there are entries after this page; its selection has one entry too many."""
    return rows.is_cut or len(rows.rows) == selection.limit


def _page(selection: Selection, rows: Rows, cursor: Cursor) -> SnapshotPage:
    """The page of the rows, without the extra one that shows that there are more."""
    page = rows.rows if rows.is_cut else rows.rows[: selection.limit - 1]
    entries = [text for _, text in page]
    if not _has_more(selection, rows):
        return SnapshotPage(entries, None)
    return SnapshotPage(entries, cursor._replace(key=page[-1][0]).text)
