"""Endpoints below `/stream`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from buntime_database import DatabaseError
from buntime_host import Answer
from buntime_keyval.wire import InvalidInput, decode_key, key_to_json
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MOST_STREAM_WAIT_MS

from buntime_plugin_keyval.engine.loop import until_beat
from buntime_plugin_keyval.features.stream.part import ALL_KEYS, StreamPart, StreamSlice, Wish
from buntime_plugin_keyval.model.errors import StreamTrimmed
from buntime_plugin_keyval.requests.answers import Frames, Text, spliced_beside
from buntime_plugin_keyval.requests.asked import Asked, Cost, Keys, Request, Route, Routes
from buntime_plugin_keyval.requests.kinds import LIMIT, OFFSET, PREFIX, TEXT, one_of, pause_up_to
from buntime_plugin_keyval.requests.permissions import ADMIN
from buntime_plugin_keyval.requests.shape import MemberPlace, RequestShape
from buntime_plugin_keyval.requests.sse import LARGE_BYTES, OPENED, opened, ping
from buntime_plugin_keyval.storage.changelog import LoggedChange
from buntime_plugin_keyval.storage.ranges import subtree

ACTION = one_of("create", "update", "delete", "expire")
STREAM_WAIT = pause_up_to(MOST_STREAM_WAIT_MS)
FOLLOWED = 100
"""The most records that a follower gets from one read."""


class Choosing(RequestShape, frozen=True, kw_only=True):
    """Which records are wanted, and from which position on."""

    after: Annotated[int | None, OFFSET] = None
    from_: Annotated[int | None, OFFSET] = msgspec.field(default=None, name="from")
    since: Annotated[int | None, OFFSET] = None
    prefix: Annotated[bytes, PREFIX] = b""
    type: Annotated[str | None, TEXT] = None
    action: Annotated[Any, ACTION] = None


class StreamReading(Choosing, frozen=True, kw_only=True):
    limit: Annotated[int, LIMIT] = DEFAULT_LIMIT
    wait: Annotated[int, STREAM_WAIT] = 0


class StreamTrimming(RequestShape, frozen=True, kw_only=True):
    """The position up to which the stream is to be trimmed."""

    up_to: Annotated[int, OFFSET]


def read(part: StreamPart, request: Request[StreamReading]) -> Asked:
    """`GET /stream`: list records after a position, in the order of commits."""
    given = request.given
    wish = _wish(given, given.limit)

    async def run() -> Text | Answer:
        try:
            page = await part.read(await _begun(part, wish, given.since), given.wait / 1000)
        except StreamTrimmed as error:
            return trimmed_answer(error)
        first, last = page.bounds
        tail = f'],"next":{page.next},"first":{first},"last":{last}}}'
        return await spliced_beside('{"records":[', [*map(record_json, page.records)], tail)

    reads = Keys(ranges=[wish.keys])
    return Asked("stream_read", "read", run, reads=reads, cost=Cost(given.limit))


def follow(part: StreamPart, request: Request[Choosing]) -> Asked:
    """`GET /stream/follow`: follow the records after a position, and each new one."""
    given = request.given
    wish, since_ms = _wish(given, FOLLOWED), given.since
    last_id = request.header(b"last-event-id")
    if last_id:
        wish, since_ms = wish._replace(after=_last_place(last_id)), None

    async def run() -> Frames:
        client = part.client_of(request.source.peer)
        return await opened(_frames(part, wish, since_ms, client), head=request.head)

    return Asked("stream_follow", "read", run, reads=Keys(ranges=[wish.keys]), cost=Cost(None))


def position(part: StreamPart, request: Request[RequestShape]) -> Asked:
    """`GET /stream/seq`: show the positions of the newest and the first record."""

    async def run() -> str:
        first, last = await part.bounds()
        return f'{{"seq":{last},"first":{first}}}'

    return Asked("stream_seq", "read", run, reads=Keys(ranges=[ALL_KEYS]))


def trim(part: StreamPart, request: Request[StreamTrimming]) -> Asked:
    """`POST /stream/trim`: remove records up to a position."""
    up_to = request.given.up_to

    async def run() -> str:
        return f'{{"trimmed":{await part.trim(up_to, request.once)}}}'

    return Asked("stream_trim", "admin", run, cost=Cost(None), needs=(ADMIN,))


ROUTES: Routes = {
    "/stream": {"GET": Route(read, StreamReading)},
    "/stream/follow": {"GET": Route(follow, Choosing, is_stream=True)},
    "/stream/seq": {"GET": Route(position, RequestShape)},
    "/stream/trim": {"POST": Route(trim, StreamTrimming, MemberPlace.BODY)},
}


def record_json(record: LoggedChange) -> str:
    """A record as JSON for clients."""
    version = "null" if record.revision is None else record.revision
    kind = "null" if record.type is None else msgspec.json.encode(record.type).decode()
    value = '"valueOmitted":true' if record.value is None else f'"value":{record.value}'
    return (
        f'{{"seq":{record.seq},"action":"{record.action}",'
        f'"key":{key_to_json(decode_key(record.key))},{value},'
        f'"versionstamp":"{record.versionstamp}","version":{version},"type":{kind},'
        f'"at":{record.at}}}'
    )


def trimmed_answer(error: StreamTrimmed) -> Answer:
    """The answer that records are gone, with the position of the first one left."""
    body = {"error": error.message, "code": error.CODE, "first": error.first}
    return Answer(error.STATUS, msgspec.json.encode(body).decode())


def _wish(given: Choosing, limit: int) -> Wish:
    said = [name for name, it in (("after", given.after), ("from", given.from_),
            ("since", given.since)) if it is not None]  # fmt: skip
    if len(said) > 1:
        raise InvalidInput(f"{said[0]} and {said[1]} exclude each other")
    after = (given.after or 0) if given.from_ is None else max(0, given.from_ - 1)
    keys = subtree(given.prefix) if given.prefix else ALL_KEYS
    return Wish(after, limit, keys, given.type, given.action)


async def _begun(part: StreamPart, wish: Wish, since_ms: int | None) -> Wish:
    return wish if since_ms is None else wish._replace(after=await part.place_since(since_ms))


def _last_place(text: bytes) -> int:
    if not text.isdigit() or len(text) > len(str(2**63)):
        raise InvalidInput("Last-Event-ID must be the position of a record")
    return int(text)


class _Look(NamedTuple):
    """What a follower gets from one read of the stream."""

    frames: Iterator[bytes]
    after: int
    """The follower's new position."""
    page: StreamSlice | None
    """What was read, without its records, which are not needed while waiting. None if wanted
    records are gone: the follower goes on after them at once."""


async def _look(part: StreamPart, wish: Wish, since_ms: int | None = None) -> _Look:
    try:
        page = await part.page(await _begun(part, wish, since_ms))
    except StreamTrimmed as error:
        first = error.first or 1
        gap = b'event: gap\ndata: {"first":%d}\nid: %d\n\n' % (first, first - 1)
        return _Look(iter([gap]), first - 1, None)
    return _Look(_pieces(page.records), page.next, page._replace(records=()))


async def _frames(part: StreamPart, wish: Wish, since_ms: int | None, client: str | None) -> Frames:
    part.shares.take(client)
    try:
        look = await _look(part, wish, since_ms)  # an error here has an answer of its own
        yield OPENED
        while True:
            for frame in look.frames:
                yield frame
            page = look.page
            if page is not None and page.next >= page.bounds.last:
                try:
                    async with asyncio.timeout(until_beat(part.heartbeat_s)):
                        if not await part.wait_behind(page):
                            return
                except TimeoutError:
                    yield ping(str(page.next))
            try:
                look = await _look(part, wish._replace(after=look.after))
            except DatabaseError as error:
                # The client reconnects and sends its last event id.
                part.store.logger.warning("A stream ends: %s", error)
                return
    finally:
        part.shares.give(client)


def _pieces(records: Sequence[LoggedChange]) -> Iterator[bytes]:
    """The frames of records; several short ones share a piece."""
    together = bytearray()
    for record in records:
        made = f"event: record\ndata: {record_json(record)}\nid: {record.seq}\n\n".encode()
        if together and len(together) + len(made) > LARGE_BYTES:
            yield bytes(together)
            together.clear()
        together += made
    if together:
        yield bytes(together)
