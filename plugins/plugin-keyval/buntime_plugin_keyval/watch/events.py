"""The events of one watch: what is there, or what changed since an earlier event; then changes.

A watch reads the store and is told of commits at the same time. What it reads may be ahead of
what it is told or behind it, so `_Seen` remembers what the reading covered. No replica may do the
reading: it would show less than the log of another one says.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import NamedTuple

from buntime_plugin_keyval.changes import Change
from buntime_plugin_keyval.storage.ranges import KeyRange, descendants, subtree
from buntime_plugin_keyval.store import Store
from buntime_plugin_keyval.watch.hub import LOG_PAGE, WatchHub
from buntime_plugin_keyval.watch.watcher import Notice, State, Watcher, WatchTarget


class WatchEvent(NamedTuple):
    """New states, and the place in the change log that they bring a client to.

    No states means that nothing happened for a heartbeat, or that the client has to start again.
    """

    position: int
    states: Sequence[State]
    reset: bool = False
    """Whether deletions may have been missed: all that is there follows, what is not is gone."""


class _Seen:
    """What was read: every change up to `until`, and those up to `perhaps` in part."""

    def __init__(self) -> None:
        self.until = 0
        self.perhaps = 0
        self.told: dict[bytes, str | None] = {}

    def note(self, until: int, perhaps: int, states: Sequence[State] = ()) -> None:
        """Remember a reading that began when the log ended at `until`."""
        self.until, self.perhaps = until, perhaps
        self.told = {state.key: state.versionstamp for state in states}

    async def news(self, store: Store, notices: Sequence[Notice]) -> list[State]:
        """What the notices say that was not read already."""
        fresh = [notice for notice in notices if notice.seq > self.until]
        doubtful = [n.state.key for n in fresh if n.seq <= self.perhaps]
        if not doubtful:
            return [notice.state for notice in fresh]
        rows = await store.get_many(doubtful, fresh=True)
        states = []
        for notice in fresh:
            state = notice.state
            if notice.seq <= self.perhaps:
                row = rows.get(state.key)
                state = State(
                    state.key, row.value if row else None, row.versionstamp if row else None
                )
                if self.told.get(state.key, "") == state.versionstamp:
                    continue
                self.told[state.key] = state.versionstamp
            states.append(state)
        return states


async def watch_events(
    store: Store,
    hub: WatchHub,
    watcher: Watcher,
    *,
    initial: bool,
    limit: int,
    heartbeat_s: float | None,
    after: int | None = None,
) -> AsyncGenerator[WatchEvent, None]:
    """Events until the watcher is closed; the end of the iteration closes it.

    `initial` begins with what is there; `limit` bounds that snapshot for prefixes, and every
    later event. With `after`, the place of an event that the client has seen, it begins with what
    changed since, or with everything if the log does not reach back that far. The first event
    comes at once, be it an empty one.
    """
    target = watcher.target
    seen = _Seen()
    try:
        position = hub.position
        states: list[State] = []
        if after is not None:
            position = after
            watcher.overrun = True
        elif initial:
            _, position = await store.change_bounds(fresh=True)
            states = await read_target(store, target, limit)
            _, perhaps = await store.change_bounds(fresh=True)
            seen.note(position, perhaps, states)
        yield WatchEvent(position, states)
        while not watcher.closed:
            if watcher.overrun:
                watcher.overrun = False
                async with contextlib.aclosing(
                    _catch_up(store, target, position, limit, seen)
                ) as missed:
                    async for event in missed:
                        position = event.position
                        if event.states or event.reset:
                            yield event
            elif await watcher.wait(heartbeat_s):
                notices = watcher.take(limit)
                if not notices:
                    continue  # they were dropped, see above
                position = max(position, _position(hub, watcher))
                states = await seen.news(store, notices)
                if position >= seen.perhaps:
                    seen.told.clear()
                if states:
                    yield WatchEvent(position, states)
            elif not watcher.closed:
                # Others' changes do not concern this client, but they move the log on.
                position = max(position, _position(hub, watcher))
                yield WatchEvent(position, ())
    finally:
        watcher.close()


def _position(hub: WatchHub, watcher: Watcher) -> int:
    """Where the client is once it has what was taken: before everything that was not."""
    pending = watcher.first_pending_seq()
    return hub.position if pending is None else min(hub.position, pending - 1)


async def _catch_up(
    store: Store, target: WatchTarget, after: int, limit: int, seen: _Seen
) -> AsyncGenerator[WatchEvent, None]:
    """What changed behind a place in the log; everything, if the log does not reach back there.

    The last event has the place that was reached, and may have no states.
    """
    start = after
    while True:
        oldest, newest = await store.change_bounds(fresh=True)
        page = await store.changes(after, limit=LOG_PAGE, fresh=True)
        if not oldest - 1 <= after <= newest or (page and page[0].seq != after + 1):
            break
        latest: dict[bytes, Change] = {}
        for change in page:
            if _concerns(target, change.key):
                latest.pop(change.key, None)
                latest[change.key] = change
        current = [*zip(latest.values(), await store.current([*latest.values()]), strict=True)]
        reached = page[-1].seq if page else after
        for index in range(0, len(current), limit):
            rest = current[index + limit :]
            states = [State(c.key, c.value, c.versionstamp) for _, c in current[index:][:limit]]
            yield WatchEvent(rest[0][0].seq - 1 if rest else reached, states)
        after = reached
        if len(page) < LOG_PAGE:
            _, perhaps = await store.change_bounds(fresh=True)
            seen.note(after, perhaps)
            yield WatchEvent(after, ())
            return
    async with contextlib.aclosing(_everything(store, target, start, limit, seen)) as events:
        async for event in events:
            yield event


async def _everything(
    store: Store, target: WatchTarget, start: int, limit: int, seen: _Seen
) -> AsyncGenerator[WatchEvent, None]:
    """All that is there, `limit` entries at a time; only the last ones bring a client anywhere."""
    _, newest = await store.change_bounds(fresh=True)
    if target.prefixes:
        yield WatchEvent(start, (), reset=True)
    states = await read_keys(store, target.keys)
    for keys in prefix_ranges(target):
        rest = keys
        while rows := await store.list_rows(rest, limit=limit, fresh=True):
            if states:
                yield WatchEvent(start, states)
            states = [State(*row) for row in rows]
            rest = rest.after(rows[-1][0])
    _, perhaps = await store.change_bounds(fresh=True)
    seen.note(newest, perhaps)
    yield WatchEvent(newest, states)


async def read_target(store: Store, target: WatchTarget, limit: int) -> list[State]:
    """The exact keys in their order, missing ones too; then the first entries of the prefixes."""
    below: list[State] = []
    for keys in prefix_ranges(target):
        below += [State(*row) for row in await store.list_rows(keys, limit=limit, fresh=True)]
    below.sort(key=lambda state: state.key)
    return [*await read_keys(store, target.keys), *below[:limit]]


async def read_keys(store: Store, keys: Sequence[bytes]) -> list[State]:
    """What the keys hold, in their order, missing ones too."""
    rows = await store.get_many(keys, fresh=True)
    return [
        State(key, rows[key].value, rows[key].versionstamp)
        if key in rows
        else State(key, None, None)
        for key in keys
    ]


def prefix_ranges(target: WatchTarget) -> list[KeyRange]:
    """The ranges of a target's prefixes, with the prefixes themselves if they are watched."""
    if target.includes_prefix:
        return [subtree(prefix) for prefix in target.prefixes]
    return [descendants(prefix) for prefix in target.prefixes]


def _concerns(target: WatchTarget, key: bytes) -> bool:
    if key in target.keys:
        return True
    return any(keys.start <= key < keys.end for keys in prefix_ranges(target))
