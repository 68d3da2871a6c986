"""The stream of changes for Python callers."""

from __future__ import annotations

from collections.abc import AsyncIterator

from buntime_keyval import Duration, KeyLike, StreamPage, StreamRecord, shared
from buntime_keyval.shared import StreamAction
from buntime_keyval.wire import decode_key, decode_value
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT

from buntime_plugin_keyval.faces.local.part import encode_prefix
from buntime_plugin_keyval.features.stream.part import ALL_KEYS, StreamPart, Wish
from buntime_plugin_keyval.requests.permissions import ADMIN, Permits
from buntime_plugin_keyval.storage.changelog import LoggedChange
from buntime_plugin_keyval.storage.ranges import KeyRange, subtree


class LocalStream:
    """All changes of a store, in the order of commits.

    Call it to iterate over the present ones.
    """

    def __init__(self, part: StreamPart, permits: Permits) -> None:
        self._part = part
        self._permits = permits

    async def __call__(
        self,
        after: int = 0,
        *,
        since: int | None = None,
        prefix: KeyLike = (),
        type: str | None = None,
        action: StreamAction | None = None,
    ) -> AsyncIterator[StreamRecord]:
        """The records after a position, or since a time, up to the newest one at present."""
        self._permits.read_range(stream_range(prefix))
        newest = (await self._part.bounds()).last
        while True:
            page = await self.read(
                after, since=since, limit=MAX_LIMIT, prefix=prefix, type=type, action=action
            )
            for record in page.records:
                if record.seq > newest:
                    return
                yield record
            if page.next >= newest:
                return
            after, since = page.next, None

    async def read(
        self,
        after: int = 0,
        *,
        since: int | None = None,
        limit: int = DEFAULT_LIMIT,
        prefix: KeyLike = (),
        type: str | None = None,
        action: StreamAction | None = None,
        wait: Duration | None = None,
    ) -> StreamPage:
        """Records after a position, or since a time; waits up to a minute for the first one."""
        keys = stream_range(prefix)
        self._permits.read_range(keys)
        wanted = shared.stream_wish(limit, prefix, type, action)
        place = shared.stream_position("after", after)
        pause = shared.stream_wait_ms(wait)
        if since is not None:
            place = await self._part.place_since(shared.stream_since(since, after))
        size = min(wanted.limit, MAX_LIMIT)
        wish = Wish(place, size, keys, wanted.type, wanted.action)
        page = await self._part.read(wish, pause / 1000)
        records = [*map(to_record, page.records)]
        return StreamPage(records, page.next, page.bounds.first, page.bounds.last)

    async def follow(
        self,
        after: int = 0,
        *,
        since: int | None = None,
        prefix: KeyLike = (),
        type: str | None = None,
        action: StreamAction | None = None,
    ) -> AsyncIterator[StreamRecord]:
        """All records after a position, or since a time, and then each new one, without end."""
        while not self._part.is_closed:
            page = await self.read(
                after,
                since=since,
                limit=MAX_LIMIT,
                prefix=prefix,
                type=type,
                action=action,
                wait="30s",
            )
            for record in page.records:
                yield record
            after, since = page.next, None

    async def seq(self) -> int:
        """The position of the newest record; 0 if there never was one."""
        self._permits.read_range(ALL_KEYS)
        return (await self._part.bounds()).last

    async def trim(self, up_to: int) -> int:
        """Remove the records up to a position, except the newest of all; how many there were."""
        self._permits.need(ADMIN)
        return await self._part.trim(shared.stream_position("up_to", up_to))


def stream_range(prefix: KeyLike) -> KeyRange:
    """A key and all below it. Raises `InvalidInput`."""
    encoded = encode_prefix(prefix)
    return subtree(encoded) if encoded else ALL_KEYS


def to_record(record: LoggedChange) -> StreamRecord:
    """A record for Python callers."""
    return StreamRecord(
        record.seq,
        record.action,
        decode_key(record.key),
        None if record.value is None else decode_value(record.value),
        record.value is not None,
        record.versionstamp,
        record.revision,
        record.type,
        record.at,
    )
