"""Endpoints below `/watch`."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated

from buntime_database import DatabaseError
from buntime_keyval.wire import InvalidInput, Key, encode_keys, key_to_json
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT

from buntime_plugin_keyval.features.watch.bookmarks import Bookmark, parse_bookmark
from buntime_plugin_keyval.features.watch.events import WatchEvent, watch_events
from buntime_plugin_keyval.features.watch.part import WatchPart
from buntime_plugin_keyval.features.watch.pending import LARGE
from buntime_plugin_keyval.features.watch.polling import poll_below
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.answers import Frame, Frames, Text, spliced_beside
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Request, Route, Routes
from buntime_plugin_keyval.requests.readers import check_number_of_keys
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.requests.sse import OPENED, frame_of_entries, opened, ping
from buntime_plugin_keyval.storage.entry_json import missing_json

RESET = b"event: reset\ndata: \n\n"
"""Tells a client that changes were lost: it has to forget all it knows, and is sent everything."""


class Watching(RequestShape, frozen=True, kw_only=True):
    initial: Annotated[bool, kinds.FLAG] = True
    last_event_id: Annotated[str | None, kinds.TEXT] = None
    """Like the header, which takes precedence; for pages, which cannot set that header."""
    consistency: Annotated[str | None, kinds.CONSISTENCY] = None
    """Without effect, since a watch reads from the primary."""


class KeysWatching(Watching, frozen=True, kw_only=True):
    keys: Annotated[list[Key], kinds.KEY_LIST]


class PrefixWatching(Watching, frozen=True, kw_only=True):
    """The prefixes to watch: below `prefix` without itself, or `prefixes` including themselves."""

    prefix: Annotated[Key | None, kinds.NAMED_PREFIX] = None
    prefixes: Annotated[list[Key] | None, kinds.KEY_LIST] = None
    limit: Annotated[int, kinds.LIMIT] = DEFAULT_LIMIT


class KeysPoll(RequestShape, frozen=True, kw_only=True):
    """Keys to compare with the versionstamps that the client knows."""

    keys: Annotated[list[Key], kinds.KEY_LIST]
    versionstamps: Annotated[Sequence[str], kinds.STAMPS] = ()
    consistency: Annotated[str | None, kinds.CONSISTENCY] = None
    """Without effect, since a watch reads from the primary."""


class PrefixPoll(RequestShape, frozen=True, kw_only=True):
    """Prefixes whose entries to compare with the versionstamps that the client knows."""

    prefix: Annotated[Key | None, kinds.NAMED_PREFIX] = None
    prefixes: Annotated[list[Key] | None, kinds.KEY_LIST] = None
    versionstamps: Annotated[str, kinds.STAMP_PAIRS] = ""
    limit: Annotated[int, kinds.LIMIT] = DEFAULT_LIMIT
    consistency: Annotated[str | None, kinds.CONSISTENCY] = None
    """Without effect, since a watch reads from the primary."""


def watch_keys(part: WatchPart, request: Request[KeysWatching]) -> Asked:
    """`GET /watch`: follow keys: their current entries, then each change."""
    target = WatchTarget.of_keys(_checked_keys(request.given.keys))
    return _watch(part, request, target, MAX_LIMIT)


def watch_prefix(part: WatchPart, request: Request[PrefixWatching]) -> Asked:
    """`GET /watch/prefix`: follow keys below a prefix; with `prefixes` the prefixes as well."""
    target = _target(request)
    return _watch(part, request, target, request.given.limit)


def _watch(part: WatchPart, request: Request[Watching], target: WatchTarget, limit: int) -> Asked:
    after = _last_event_id(request)
    initial = request.given.initial

    async def run() -> Frames:
        client = part.client_of(request.source.peer)
        frames = _frames(part, target, client, initial=initial, limit=limit, after=after)
        return await opened(frames, head=request.head)

    return Asked("watch", "read", run, reads=_watched(target), cost=_cost(target))


def poll_keys(part: WatchPart, request: Request[KeysPoll]) -> Asked:
    """`GET` and `POST /watch/poll`: the keys whose versionstamps differ from those given."""
    keys = _checked_keys(request.given.keys)
    encoded = encode_keys(keys)
    given = request.given.versionstamps

    async def run() -> Text:
        return await _changed_keys(part, keys, encoded, given)

    return Asked("watch_poll", "read", run, reads=Keys(encoded), cost=Cost(len(encoded)))


def poll_prefix(part: WatchPart, request: Request[PrefixPoll]) -> Asked:
    """`GET` and `POST /watch/prefix/poll`: entries below prefixes that are new, changed or gone.

    If there are more than `limit`, the others come with the next polls: `versionstamps` lists only
    what the client has been told.
    """
    target = _target(request)
    told = request.given.versionstamps
    limit = request.given.limit

    async def run() -> Text:
        return await poll_below(part.store, target, told, limit)

    return Asked("watch_poll", "read", run, reads=_watched(target), cost=_cost(target))


ROUTES: Routes = {
    "/watch": {"GET": Route(watch_keys, KeysWatching, is_stream=True)},
    "/watch/poll": {
        "GET": Route(poll_keys, KeysPoll),
        "POST": Route(poll_keys, KeysPoll, MemberPlace.BODY),
    },
    "/watch/prefix": {"GET": Route(watch_prefix, PrefixWatching, is_stream=True)},
    "/watch/prefix/poll": {
        "GET": Route(poll_prefix, PrefixPoll),
        "POST": Route(poll_prefix, PrefixPoll, MemberPlace.BODY),
    },
}


async def _changed_keys(
    part: WatchPart, keys: list[Key], encoded: list[bytes], given: Sequence[str]
) -> Text:
    known = [given[index] if index < len(given) else "" for index in range(len(keys))]
    found = await part.store.get_changed(encoded, known)
    entries: list[Text] = []
    stamps = []
    for key, code, before in zip(keys, encoded, known, strict=True):
        one = found.get(code)
        stamp = "" if one is None else one.versionstamp
        if stamp != before:
            entry = missing_json(key_to_json(key)) if one is None else one.entry
            if entry is None:
                stamp = before  # it has just changed, and comes with the next poll
            else:
                entries.append(entry)
        stamps.append(f'"{stamp}"')
    told = f'],"versionstamps":[{",".join(stamps)}]}}'
    return await spliced_beside('{"entries":[', entries, told)


async def _frames(
    part: WatchPart,
    target: WatchTarget,
    client: str | None,
    *,
    initial: bool,
    limit: int,
    after: Bookmark | None,
) -> Frames:
    watcher = await part.hub.watch(target, client)
    events = watch_events(
        part.store,
        part.hub,
        watcher,
        initial=initial,
        limit=limit,
        heartbeat_s=part.config.heartbeat,
        after=after,
    )
    async with contextlib.aclosing(events):
        event = await anext(events, None)
        yield OPENED  # errors before this are answered with a status of their own
        while event is not None:
            if event.states:
                if any(state.size > LARGE for state in event.states):
                    await part.store.turns.wait()
                yield _change(event)
            else:
                yield RESET if event.is_reset else ping(event.bookmark.text)
            try:
                event = await anext(events, None)
            except DatabaseError as error:
                # The client reconnects and sends its last event id.
                part.store.logger.warning("A watch ends: %s", error)
                return


def _change(event: WatchEvent) -> Frame:
    made = frame_of_entries("change", [state.pieces for state in event.states], event.bookmark.text)
    event.states.clear()  # what a slow client has not read is kept once, in its connection
    return made


def _last_event_id(request: Request[Watching]) -> Bookmark | None:
    header = request.header(b"last-event-id")
    text = header.decode("latin-1") if header else request.given.last_event_id
    return parse_bookmark(text) if text else None


def _checked_keys(keys: list[Key]) -> list[Key]:
    if not keys:
        raise InvalidInput("Missing 'keys' query parameter")
    return check_number_of_keys(keys, len(keys))


def _target(request: Request[PrefixWatching] | Request[PrefixPoll]) -> WatchTarget:
    """The target of a watch. An empty `prefixes` of a query counts as left out."""
    prefix, prefixes = request.given.prefix, request.given.prefixes
    if prefixes and prefix is not None:
        raise InvalidInput("prefix and prefixes exclude each other")
    if prefixes:
        return WatchTarget.of_prefixes(prefixes)
    if prefix is None:
        in_body = bool(request.content)
        raise InvalidInput("prefix is required" if in_body else "Missing 'prefix' query parameter")
    return WatchTarget.of_prefix(prefix)


def _watched(target: WatchTarget) -> Keys:
    return Keys(target.keys, target.ranges())


def _cost(target: WatchTarget) -> Cost:
    return Cost(None if target.prefixes else len(target.keys))
