"""Endpoints below `/watch`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from urllib.parse import quote, unquote

from buntime_database import DatabaseError
from buntime_keyval.wire import (
    InvalidInput,
    Key,
    check_key,
    check_keys,
    decode_json,
    decode_key,
    encode_key,
    key_to_json,
    parse_key_path,
    parse_key_text,
)
from buntime_keyval.wire.limits import MAX_KEYS_PER_BATCH, MAX_LIMIT
from buntime_keyval.wire.paths import format_key_path

from buntime_plugin_keyval.entries import entries_json
from buntime_plugin_keyval.http import inputs
from buntime_plugin_keyval.http.answers import Frames
from buntime_plugin_keyval.http.request import Request
from buntime_plugin_keyval.http.sse import OPENED, frame, opened, ping
from buntime_plugin_keyval.service import KeyValService
from buntime_plugin_keyval.storage.entry_json import entry_json, missing_json
from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.watch.events import prefix_ranges, watch_events
from buntime_plugin_keyval.watch.watcher import WatchTarget

RESET = b"event: reset\ndata: \n\n"
"""Tells a client that changes were lost: it has to forget what it knows, and is told all of it."""


async def watch_keys(service: KeyValService, request: Request) -> Frames:
    """`GET /watch`: the given keys."""
    return await _watch(service, request, WatchTarget.of_keys(_keys(request)), MAX_LIMIT)


async def watch_prefix(service: KeyValService, request: Request) -> Frames:
    """`GET /watch/prefix`: what extends a prefix, and with `prefixes` the prefixes too."""
    limit = inputs.parse_limit(request.query("limit"))
    return await _watch(service, request, _prefixes(request), limit)


async def _watch(
    service: KeyValService, request: Request, target: WatchTarget, limit: int
) -> Frames:
    frames = _frames(
        service,
        target,
        initial=request.query("initial") != "false",
        limit=limit,
        after=_last_event_id(request),
    )
    return await opened(frames, request)


async def poll_keys(service: KeyValService, request: Request) -> str:
    """`GET /watch/poll`: those of the keys whose versionstamp is not the given one."""
    given = (request.query("versionstamps") or "").split(",")  # empty ones keep their places
    return await _changed_keys(service, _keys(request), given)


async def poll_keys_by_body(service: KeyValService, request: Request) -> str:
    """`POST /watch/poll`: the same for keys that make too long a URL."""
    body = await request.json_object()
    keys = _body_keys(body, "keys")
    given = body.get("versionstamps")
    if isinstance(given, list):
        if not all(isinstance(stamp, str) for stamp in given):
            raise InvalidInput("versionstamps must be strings")
    else:
        given = (inputs.parse_text("versionstamps", given) or "").split(",")
    return await _changed_keys(service, keys, given)


async def _changed_keys(service: KeyValService, keys: list[Key], given: Sequence[str]) -> str:
    encoded = [encode_key(key) for key in keys]
    rows = await service.store.get_many(encoded)
    stamps = [rows[code].versionstamp if code in rows else "" for code in encoded]
    known = [given[index] if index < len(given) else "" for index in range(len(keys))]
    changed = [index for index in range(len(keys)) if stamps[index] != known[index]]
    entries = entries_json(
        [keys[index] for index in changed], [encoded[index] for index in changed], rows
    )
    quoted = ",".join(f'"{stamp}"' for stamp in stamps)
    return f'{{"entries":[{",".join(entries)}],"versionstamps":[{quoted}]}}'


async def poll_prefix(service: KeyValService, request: Request) -> str:
    """`GET /watch/prefix/poll`: what is new, changed or gone among the descendants.

    More than `limit` news come with the next polls, since `versionstamps` names only what the
    client has been told.
    """
    limit = inputs.parse_limit(request.query("limit"))
    given = request.query("versionstamps") or ""
    return await _changed_below(service, _prefixes(request), given, limit)


async def poll_prefix_by_body(service: KeyValService, request: Request) -> str:
    """`POST /watch/prefix/poll`: the same for versionstamps that make too long a URL."""
    body = await request.json_object()
    if body.get("prefixes") is not None:
        target = WatchTarget.of_prefixes(_body_keys(body, "prefixes"))
    elif body.get("prefix"):
        target = WatchTarget.of_prefix(inputs.parse_body_key(body["prefix"]))
    else:
        raise InvalidInput("prefix is required")
    given = inputs.parse_text("versionstamps", body.get("versionstamps")) or ""
    return await _changed_below(service, target, given, inputs.parse_limit(body.get("limit")))


async def _changed_below(
    service: KeyValService, target: WatchTarget, stamps: str, limit: int
) -> str:
    ranges = prefix_ranges(target)
    given = {
        key: versionstamp
        for key, versionstamp in _given_stamps(stamps).items()
        if any(keys.start <= key < keys.end for keys in ranges)
    }
    current: dict[bytes, str] = {}
    changed: list[str] = []
    async for key, value, versionstamp in _rows(service, ranges):
        if given.get(key) == versionstamp:
            current[key] = versionstamp
        elif len(changed) < limit:
            current[key] = versionstamp
            changed.append(entry_json(key_to_json(decode_key(key)), value, versionstamp))
        elif key in given:
            current[key] = given[key]
    for key in sorted(given.keys() - current.keys()):
        if len(changed) < limit:
            changed.append(missing_json(key_to_json(decode_key(key))))
        else:
            current[key] = given[key]
    pairs = ",".join(f"{_key_token(key)}:{current[key]}" for key in sorted(current))
    return f'{{"entries":[{",".join(changed)}],"versionstamps":"{pairs}"}}'


async def _rows(
    service: KeyValService, ranges: Sequence[KeyRange]
) -> AsyncGenerator[tuple[bytes, str, str], None]:
    for keys in ranges:
        rest = keys
        while rows := await service.store.list_rows(rest, limit=MAX_LIMIT):
            for row in rows:
                yield row
            rest = rest.after(rows[-1][0])


async def _frames(
    service: KeyValService, target: WatchTarget, *, initial: bool, limit: int, after: int | None
) -> Frames:
    watcher = await service.watches.watch(target)
    events = watch_events(
        service.store,
        service.watches,
        watcher,
        initial=initial,
        limit=limit,
        heartbeat_s=service.config.watch.heartbeat_ms / 1000,
        after=after,
    )
    async with contextlib.aclosing(events):
        event = await anext(events)
        yield OPENED  # what fails before this has an answer of its own
        while True:
            if event.states:
                data = ",".join([state.json for state in event.states])
                yield frame("change", f"[{data}]", event.position)
            else:
                yield RESET if event.reset else ping(event.position)
            try:
                event = await anext(events)
            except StopAsyncIteration:
                return
            except DatabaseError as error:
                # The client comes again and says where it was.
                service.store.logger.warning("A watch ends: %s", error)
                return


def _last_event_id(request: Request) -> int | None:
    text = request.header(b"last-event-id")
    return int(text) if text.isdigit() and len(text) < 19 else None


def _keys(request: Request) -> list[Key]:
    """The keys of `keys`, which may be repeated: comma lists of key paths, or JSON arrays."""
    texts = request.query_all("keys")
    keys = [key for text in texts for key in _key_list(text)]
    if not keys:
        raise InvalidInput("Missing 'keys' query parameter")
    if len(keys) > MAX_KEYS_PER_BATCH:
        raise InvalidInput(f"Too many keys: {len(keys)} (max {MAX_KEYS_PER_BATCH})")
    return keys


def _prefixes(request: Request) -> WatchTarget:
    prefixes = [key for text in request.query_all("prefixes") for key in _key_list(text)]
    if prefixes:
        return WatchTarget.of_prefixes(prefixes)
    prefix = request.query("prefix")
    if not prefix:
        raise InvalidInput("Missing 'prefix' query parameter")
    return WatchTarget.of_prefix(parse_key_text(prefix))


def _body_keys(body: Mapping[str, object], name: str) -> list[Key]:
    """The keys of a body: arrays, or key paths in their places. Raises `InvalidInput`."""
    raw = body.get(name)
    if not isinstance(raw, list) or not raw:
        raise InvalidInput(f"{name} must be a non-empty array of keys")
    if len(raw) > MAX_KEYS_PER_BATCH:
        raise InvalidInput(f"Too many keys: {len(raw)} (max {MAX_KEYS_PER_BATCH})")
    return [inputs.parse_body_key(key) for key in raw]


def _key_list(text: str) -> list[Key]:
    if text.startswith("["):
        try:
            raw = decode_json(text.encode())
        except (InvalidInput, UnicodeEncodeError):
            raw = None
        if isinstance(raw, list):
            nested = bool(raw) and isinstance(raw[0], list)
            return check_keys(raw) if nested else [check_key(raw)]
    return [parse_key_path(path) for path in text.split(",") if path]


def _given_stamps(text: str) -> dict[bytes, str]:
    given = {}
    for pair in text.split(","):
        path, colon, versionstamp = pair.rpartition(":")
        if colon:
            given[encode_key(_parse_token(path))] = versionstamp
    return given


def _parse_token(token: str) -> Key:
    """The key of what `_key_token` made, which the query string may have decoded once."""
    if token.startswith("%5B"):
        return parse_key_text(unquote(token))
    return parse_key_text(token)


def _key_token(encoded: bytes) -> str:
    """A key in the text that a polling client sends back: no comma and no colon in it."""
    key = decode_key(encoded)
    path = format_key_path(key)
    return quote(key_to_json(key), safe="") if path is None else path
