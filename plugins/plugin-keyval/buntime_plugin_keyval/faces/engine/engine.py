"""`KeyValEngine` over the store of this process.

Values of bytes are stored as JSON like all values, so that filters, watches, search and snapshots
deal with one form only.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Sequence

from buntime_keyval import engine
from buntime_keyval.wire import (
    InvalidInput,
    Key,
    canonical_value,
    check_key,
    decode_key,
    encode_key,
)
from buntime_keyval.wire.binary import BYTES_BEFORE, BYTES_BEHIND
from buntime_keyval.wire.canonical import WHOLE, canonical_steps
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions, Mutation
from buntime_keyval.wire.limits import MAX_LIMIT, MAX_VALUE_BYTES
from buntime_keyval.wire.python_options import checked_expires_in

from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.log.part import LogPart
from buntime_plugin_keyval.features.watch.bookmarks import Bookmark, parse_bookmark
from buntime_plugin_keyval.requests.permissions import Permits
from buntime_plugin_keyval.storage.ranges import KeyRange, subtree

PAGE = 256
"""The most changes that a follower reads at once."""


class LocalEngine:
    """Implements `KeyValEngine`; see there for the methods."""

    def __init__(self, store: Store, log: LogPart, permits: Permits) -> None:
        self._store = store
        self._permits = permits
        self._log = log

    async def get(self, keys: Sequence[bytes]) -> list[engine.EngineEntry | None]:
        for key in keys:
            _decoded(key)
        self._permits.read(*keys)
        rows = await self._store.get_many(keys)
        return [
            None if (row := rows.get(key)) is None else _entry(key, row.value, row.versionstamp)
            for key in keys
        ]

    async def read(self, *ranges: engine.EngineRange) -> list[list[engine.EngineEntry]]:
        for asked in ranges:
            if not 1 <= asked.limit <= MAX_LIMIT:
                raise InvalidInput(f"limit must be from 1 to {MAX_LIMIT}, received {asked.limit}")
        self._permits.read_range(*[KeyRange(asked.start, asked.end) for asked in ranges])
        return [
            [
                _entry(*row)
                for row in await self._store.list_rows(
                    KeyRange(asked.start, asked.end), limit=asked.limit, reverse=asked.reverse
                )
            ]
            for asked in ranges
        ]

    async def commit(
        self, checks: Sequence[engine.EngineCheck], writes: Sequence[engine.EngineWrite]
    ) -> str | None:
        for check in checks:
            _decoded(check.key)
        self._permits.read(*[check.key for check in checks])
        self._permits.write(*[write.key for write in writes])
        committed = await self._store.commit(
            checks, [await self._mutation(write) for write in writes]
        )
        return None if committed is None else committed.versionstamp

    async def position(self) -> str:
        return Bookmark(await self._store.newest_place(fresh=True)).text

    async def follow(
        self, after: str, within: engine.EngineRange | None = None
    ) -> AsyncIterator[engine.EngineChange]:
        asked = subtree(b"") if within is None else KeyRange(within.start, within.end)
        self._permits.read_range(asked)
        place = parse_bookmark(after).place
        keys = None if within is None else KeyRange(within.start, within.end)
        while True:
            changes = await self._store.changes(place.seq, limit=PAGE, fresh=True)
            # Checked after the read: changes that were trimmed before it are missing from it.
            if not await self._store.knows(place):
                raise engine.PositionGone(f"The log does not reach back to {after}: read anew")
            for change in changes:
                place = change.place(place.log)
                if keys is None or keys.start <= change.key < keys.end:
                    key, operation, stamp, at = change[1:5]
                    yield engine.EngineChange(key, operation, stamp, at, Bookmark(place).text)
            if len(changes) < PAGE and not await self._log.wait_behind(place.seq):
                return

    async def _mutation(self, write: engine.EngineWrite) -> Mutation:
        key = _decoded(write.key)
        if write.value is None:
            return Mutation("delete", key, encoded=write.key)
        expires_in = checked_expires_in(write.expires_in)
        options = NO_OPTIONS if expires_in is None else EntryOptions(expires_in)
        return Mutation("set", key, await self._text(write), options, write.key)

    async def _text(self, write: engine.EngineWrite) -> str:
        """The canonical text of a value to write."""
        value = write.value or b""
        if write.encoding == "bytes":
            text = f"{BYTES_BEFORE}{b64encode(value).decode()}{BYTES_BEHIND}"
            if len(text) > MAX_VALUE_BYTES:
                raise InvalidInput(f"Value too large: {len(text)} bytes (max {MAX_VALUE_BYTES})")
            return text
        if write.encoding != "json":
            raise InvalidInput(f"encoding must be json or bytes, received {write.encoding!r:.50}")
        now_ms = self._store.clock.wall()
        if len(value) <= WHOLE:
            return canonical_value(value, now_ms)
        text = await self._store.turns.run(canonical_steps(value, now_ms))
        return str(text)


def _entry(key: bytes, value: str, versionstamp: str) -> engine.EngineEntry:
    if value.startswith(BYTES_BEFORE):
        encoded = value[len(BYTES_BEFORE) : -len(BYTES_BEHIND)]
        return engine.EngineEntry(key, b64decode(encoded), "bytes", versionstamp)
    return engine.EngineEntry(key, value.encode(), "json", versionstamp)


def _decoded(key: bytes) -> Key:
    """The parts of an encoded key. Raises `InvalidInput` for other bytes, and for invalid keys."""
    try:
        parts = decode_key(key)
        is_key = encode_key(parts) == key
    except ValueError:
        is_key = False
    if not is_key:
        raise InvalidInput(f"not an encoded key: {key[:50]!r}, see buntime_keyval.wire.encode_key")
    return check_key(parts)
