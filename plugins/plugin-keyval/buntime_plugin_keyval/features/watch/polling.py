"""Polls of prefixes: what a client has not been told yet, by the versionstamps that it sends.

The client sends back the text that it got, which is all that the server knows about it.
"""

from __future__ import annotations

from collections.abc import Generator
from urllib.parse import quote, unquote

from buntime_keyval import wire

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.watch.watcher import WatchTarget
from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.requests.answers import Text, spliced_beside
from buntime_plugin_keyval.storage.entry_json import entry_json, missing_json
from buntime_plugin_keyval.storage.ranges import DisjointRanges

_AT_ONCE = 200
"""Versionstamps that are parsed or written in one step."""


async def poll_below(store: Store, target: WatchTarget, told: str, limit: int) -> Text:
    """Entries below the prefixes that are new, changed or gone, and the client's new text, as JSON.

    `told` is the text of the poll before. If there are more than `limit`, the others come with the
    next polls, since the new text lists only what the client has been told. Raises `LimitExceeded`
    and `InvalidInput`.
    """
    ranges = DisjointRanges(target.ranges())
    number = told.count(",") + 1
    if number > store.limits.stamps:
        raise LimitExceeded(f"Too many versionstamps: {number}", "stamps", store.limits.stamps)
    given: dict[bytes, str] = await store.turns.run(_read_stamps(told, ranges))
    current: dict[bytes, str] = {}
    entries = []
    for key, versionstamp, value in await store.poll(given, [*ranges], limit=limit):
        current[key] = versionstamp
        if value is not None:
            entries.append(entry_json(wire.key_to_json(wire.decode_key(key)), value, versionstamp))
        elif versionstamp != given[key]:
            current[key] = given[key]  # its change comes with one of the next polls
    for key in sorted(given.keys() - current.keys()):
        if len(entries) < limit:
            entries.append(missing_json(wire.key_to_json(wire.decode_key(key))))
        else:
            current[key] = given[key]
    stamps = await store.turns.run(_write_stamps(current))
    return await spliced_beside('{"entries":[', entries, f'],"versionstamps":"{stamps}"}}')


def _read_stamps(text: str, ranges: DisjointRanges) -> Generator[None, None, dict[bytes, str]]:
    given = {}
    for number, pair in enumerate(text.split(",")):
        path, colon, versionstamp = pair.rpartition(":")
        if colon:
            key = wire.encode_key(_parse_token(path))
            if key in ranges:
                given[key] = versionstamp
        if number % _AT_ONCE == _AT_ONCE - 1:
            yield
    return given


def _write_stamps(stamps: dict[bytes, str]) -> Generator[None, None, str]:
    pairs = []
    for number, key in enumerate(sorted(stamps)):
        pairs.append(f"{_key_token(key)}:{stamps[key]}")
        if number % _AT_ONCE == _AT_ONCE - 1:
            yield
    return ",".join(pairs)


def _parse_token(token: str) -> wire.Key:
    """The key of a token of `_key_token`, which the query string may have decoded once."""
    if token.startswith("%5B"):
        return wire.parse_key_text(unquote(token))
    return wire.parse_key_text(token)


def _key_token(encoded: bytes) -> str:
    """A key as a token without commas and colons, for the text that a polling client sends back."""
    key = wire.decode_key(encoded)
    path = wire.format_key_path(key)
    return quote(wire.key_to_json(key), safe="") if path is None else path
