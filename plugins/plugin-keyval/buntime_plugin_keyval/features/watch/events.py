"""The events of one watch: the current state, or what changed since an earlier event; then changes.

Every event takes a client from the state after one change in the log to the state after a later
one. A watch reads the store, and is told of commits by the hub. Each read notes its place in the
log, so that notices from the hub of changes up to there are left out. Replicas are not read: one
may lag behind the place that the log of another one gives.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Iterator
from typing import NamedTuple

from buntime_plugin_keyval.engine.loop import until_beat
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.watch.bookmarks import Bookmark
from buntime_plugin_keyval.features.watch.hub import WatchHub
from buntime_plugin_keyval.features.watch.pending import Notice, Pending, State
from buntime_plugin_keyval.features.watch.watcher import Watcher, WatchTarget
from buntime_plugin_keyval.model.changes import Place
from buntime_plugin_keyval.storage.ranges import DisjointRanges
from buntime_plugin_keyval.storage.states import Catch, Stored


class WatchEvent(NamedTuple):
    """New states, and the place in the change log to which they bring a client.

    Without states it is a heartbeat, or tells the client to start again.
    """

    bookmark: Bookmark
    states: list[State]
    """Cleared by the sender once they are sent, so that they are not kept until the next event."""
    is_reset: bool = False
    """Whether deletions may have been missed: the client has to forget all, and is sent all."""


async def watch_events(
    store: Store,
    hub: WatchHub,
    watcher: Watcher,
    *,
    initial: bool,
    limit: int,
    heartbeat_s: float | None,
    after: Bookmark | None = None,
) -> AsyncGenerator[WatchEvent, None]:
    """Events until the watcher is closed; the end of the iteration closes it.

    With `initial` the current entries come first; `limit` bounds those of prefixes, and every later
    event. With `after`, the bookmark of an event that the client has seen, the changes since then
    come first, or everything if the log does not know that place. The first event comes at once,
    even if it is empty.
    """
    target = watcher.target
    try:
        if after is not None:
            bookmark = after
            watcher.overrun = True
        elif initial:
            async with contextlib.aclosing(_snapshot(store, target, limit)) as events:
                async for event in events:
                    bookmark = event.bookmark
                    watcher.knows(bookmark.place.seq)
                    yield event
            if bookmark.until is not None:
                watcher.give_up()  # after several reads, changes between them are in the log
        else:
            place = hub.place or await store.newest_place(fresh=True)
            watcher.knows(place.seq)
            bookmark = Bookmark(place)
            yield WatchEvent(bookmark, [])
        while not watcher.closed:
            if watcher.overrun:
                watcher.overrun = False
                missed = _catch_up(store, target, bookmark, limit)
                async with contextlib.aclosing(missed) as events:
                    async for event in events:
                        bookmark = event.bookmark
                        yield event
                watcher.knows(bookmark.place.seq)
            elif await watcher.wait(None if heartbeat_s is None else until_beat(heartbeat_s)):
                taken = watcher.take(limit)
                if not taken.notices:
                    continue  # notices were dropped, see above
                bookmark = _reached(hub, watcher, bookmark, taken.notices[-1], taken.is_whole)
                yield WatchEvent(bookmark, taken.states())
            elif not watcher.closed:
                # Changes of other keys are not sent, but move the client's place in the log on.
                bookmark = Bookmark(_later(bookmark.place, hub.place))
                yield WatchEvent(bookmark, [])
    finally:
        watcher.close()


def _reached(
    hub: WatchHub, watcher: Watcher, before: Bookmark, last: Notice, is_whole: bool
) -> Bookmark:
    """The bookmark of a client once it has these notices."""
    place = last.place(before.place.log if hub.place is None else hub.place.log)
    if not is_whole:
        return Bookmark(place, _later(place, hub.place))
    return Bookmark(place if watcher.has_pending() else _later(place, hub.place))


def _later(place: Place, other: Place | None) -> Place:
    return other if other is not None and other.seq > place.seq else place


async def _catch_up(
    store: Store, target: WatchTarget, after: Bookmark, limit: int
) -> AsyncGenerator[WatchEvent, None]:
    """The changes after a place in the log; everything, if the log does not know the place.

    There is at least one event. The last one leaves the client in the middle of nothing.
    """
    place, until = after

    def concerns(key: bytes) -> bool:
        return key in exact or key in ranges

    exact, ranges = frozenset(target.keys), DisjointRanges(target.ranges())
    while True:
        catch = await store.news(place, until, concerns)
        if catch is None:
            async with contextlib.aclosing(_everything(store, target, limit)) as events:
                async for event in events:
                    place, until = event.bookmark
                    yield event
            if until is None:
                return
            continue
        for event in _events(catch, limit, in_the_middle=until is not None):
            yield event
        if catch.is_complete:
            return
        place, until = catch.place, catch.newest


def _events(catch: Catch, limit: int, *, in_the_middle: bool) -> Iterator[WatchEvent]:
    """Events of what was read, each of at most `limit` states.

    For a client in the middle of an event, keys that it was not told of may have changed before
    its place: only after the last of them does it know one whole state again.
    """
    pending = Pending()
    for since, seq, commit, stored in catch.news:
        pending.add(Notice(since, seq, commit, _state(stored)))
    catch.news.clear()
    while len(pending) > limit:
        taken = pending.take(limit)
        is_whole = taken.is_whole and not in_the_middle
        place = taken.notices[-1].place(catch.newest.log)
        yield WatchEvent(Bookmark(place, None if is_whole else catch.newest), taken.states())
    rest = pending.take(limit).states()
    yield WatchEvent(Bookmark(catch.place, None if catch.is_complete else catch.newest), rest)


async def _snapshot(
    store: Store, target: WatchTarget, limit: int
) -> AsyncGenerator[WatchEvent, None]:
    """The watched keys, and the first `limit` entries of the prefixes.

    One event, unless the values are long; then the last event is as in `_everything`.
    """
    reading = await store.states(target.keys, target.ranges(), limit=limit)
    begun = reading.place
    left = limit + len(target.keys)
    while (rest := reading.rest) is not None and reading.is_cut:
        left -= len(reading.states)
        yield WatchEvent(_in_the_middle(begun), _states(reading.states))
        reading = await store.states(*rest, limit=left - len(rest.keys))
    yield WatchEvent(_at_the_end(begun, reading.place), _states(reading.states))


async def _everything(
    store: Store, target: WatchTarget, limit: int
) -> AsyncGenerator[WatchEvent, None]:
    """All current entries, `limit` at a time.

    If they take several reads, these may differ in their places in the log: the last event then
    leaves the client in the middle of the changes made meanwhile.
    """
    reading = await store.states(target.keys, target.ranges(), limit=limit)
    begun = reading.place
    if target.prefixes:
        yield WatchEvent(_in_the_middle(begun), [], is_reset=True)
    while (rest := reading.rest) is not None:
        yield WatchEvent(_in_the_middle(begun), _states(reading.states))
        reading = await store.states(*rest, limit=limit)
    yield WatchEvent(_at_the_end(begun, reading.place), _states(reading.states))


def _in_the_middle(begun: Place) -> Bookmark:
    """A bookmark in the middle of everything: only from the log's beginning could one go on."""
    return Bookmark(Place(begun.log, 0, ""), begun)


def _at_the_end(begun: Place, ended: Place) -> Bookmark:
    return Bookmark(begun, None if ended == begun else ended)


def _states(stored: list[Stored]) -> list[State]:
    """The states that were read; empties the list."""
    found = [_state(one) for one in stored]
    stored.clear()
    return found


def _state(stored: Stored) -> State:
    return State(stored.key, stored.value, stored.versionstamp)
