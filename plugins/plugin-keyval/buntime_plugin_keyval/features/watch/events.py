"""The events of one watch: what is there, or what changed since an earlier event; then changes.

Every event is a step from how things were behind one change in the log to how they were behind a
later one. A watch reads the store, and is told of commits by the hub. Each reading says which place
it is of, so that what the hub tells of changes up to there is left out. No replica may do the
reading: it would show less than the log of another one says.
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
    """New states, and how far in the change log they bring a client.

    No states means that nothing happened for a heartbeat, or that the client has to start again.
    """

    bookmark: Bookmark
    states: list[State]
    """Whoever has told them clears the list: the others who have it wait for the next event."""
    is_reset: bool = False
    """Whether deletions may have been missed: all that is there follows, what is not is gone."""


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

    `initial` begins with what is there; `limit` bounds that snapshot for prefixes, and every
    later event. With `after`, that of an event that the client has seen, it begins with what
    changed since, or with everything if the log does not know such a place. The first event
    comes at once, be it an empty one.
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
                watcher.give_up()  # several readings: what changed between them is in the log
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
                    continue  # they were dropped, see above
                bookmark = _reached(hub, watcher, bookmark, taken.notices[-1], taken.is_whole)
                yield WatchEvent(bookmark, taken.states())
            elif not watcher.closed:
                # Others' changes do not concern this client, but they move the log on.
                bookmark = Bookmark(_later(bookmark.place, hub.place))
                yield WatchEvent(bookmark, [])
    finally:
        watcher.close()


def _reached(
    hub: WatchHub, watcher: Watcher, before: Bookmark, last: Notice, is_whole: bool
) -> Bookmark:
    """How far a client is once it has what was taken."""
    place = last.place(before.place.log if hub.place is None else hub.place.log)
    if not is_whole:
        return Bookmark(place, _later(place, hub.place))
    return Bookmark(place if watcher.has_pending() else _later(place, hub.place))


def _later(place: Place, other: Place | None) -> Place:
    return other if other is not None and other.seq > place.seq else place


async def _catch_up(
    store: Store, target: WatchTarget, after: Bookmark, limit: int
) -> AsyncGenerator[WatchEvent, None]:
    """What changed behind a place in the log; everything, if the log does not know the place.

    There is at least one event. The last one is not in the middle of anything.
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
    """What was read, at most `limit` states at a time.

    To a client in the middle of an event, keys that it was not told of may have changed before the
    place that it is at: it knows a state again only behind the last of them.
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
    """The keys that are watched, and the first `limit` entries of the prefixes.

    One event, unless the values are long; then the last one is as in `_everything`.
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
    """All that is there, `limit` entries at a time.

    If one reading cannot bring it all, it is not of one place: then the last event is in the
    middle of what has changed meanwhile.
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
    """Whoever has a part of everything would need all that is behind the beginning of the log."""
    return Bookmark(Place(begun.log, 0, ""), begun)


def _at_the_end(begun: Place, ended: Place) -> Bookmark:
    return Bookmark(begun, None if ended == begun else ended)


def _states(stored: list[Stored]) -> list[State]:
    """The states that were read, which are let go of there."""
    found = [_state(one) for one in stored]
    stored.clear()
    return found


def _state(stored: Stored) -> State:
    return State(stored.key, stored.value, stored.versionstamp)
