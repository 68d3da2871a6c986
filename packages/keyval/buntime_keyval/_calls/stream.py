"""Calls of the routes below `/stream`."""

from __future__ import annotations

from typing import Any, Literal, get_args
from urllib.parse import quote

import msgspec

from buntime_keyval._calls.keys import checked_limit
from buntime_keyval._core import Call, json_body, member
from buntime_keyval._results import StreamPage, StreamRecord
from buntime_keyval.wire import Duration, InvalidInput, Key, KeyLike, check_key, key_to_json, untag
from buntime_keyval.wire.describe import as_written
from buntime_keyval.wire.limits import MOST_STREAM_WAIT_MS
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import milliseconds

StreamAction = Literal["create", "update", "delete", "expire"]


class RawRecord(msgspec.Struct):
    """A record as JSON has it."""

    seq: int
    action: str
    key: list[Any]
    versionstamp: str
    version: int | None
    type: str | None
    at: int
    value: Any = msgspec.UNSET


class StreamWish(msgspec.Struct, frozen=True):
    """A checked request for records."""

    limit: int
    prefix: Key
    type: str | None
    action: StreamAction | None


class _Page(msgspec.Struct):
    records: list[RawRecord]
    next: int
    first: int
    last: int


_decode_page = msgspec.json.Decoder(_Page).decode
_read_newest = member("seq", int)
_read_trimmed = member("trimmed", int)


def wish(limit: int, prefix: KeyLike, type: str | None, action: StreamAction | None) -> StreamWish:
    """Check a request for records. Raises `InvalidInput`."""
    kind = None if type is None else checked_text("type", type)
    key = checked_key(prefix) if prefix else ()
    return StreamWish(checked_limit(limit), key, kind, checked_action(action))


def read(
    after: int, wanted: StreamWish, wait: int = 0, *, since: int | None = None
) -> Call[StreamPage]:
    """Records behind a position, or with `since` from a time on."""
    place = f"after={position('after', after)}"
    if since is not None:
        place = f"since={stream_since(since, after)}"
    target = f"/stream?{place}&limit={wanted.limit}"
    if wanted.prefix:
        target += f"&prefix={quote(key_to_json(wanted.prefix), safe='')}"
    if wanted.type is not None:
        target += f"&type={quote(wanted.type, safe='')}"
    if wanted.action is not None:
        target += f"&action={wanted.action}"
    if wait:
        target += f"&wait={wait}"
    return Call("GET", target, _read_page, repeatable=True)


def newest() -> Call[int]:
    """The position of the newest record."""
    return Call("GET", "/stream/seq", _read_newest, repeatable=True)


def trim(up_to: int) -> Call[int]:
    """Remove records up to a position."""
    body = json_body(upTo=position("up_to", up_to))
    return Call("POST", "/stream/trim", _read_trimmed, body, repeatable=True)


def position(name: str, value: object) -> int:
    """A position in the stream. Raises `InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise InvalidInput(f"{name} must be a position, 0 or more, received {as_written(value)}")
    return value


def stream_since(since: object, after: int) -> int:
    """Milliseconds since 1970 instead of a position. Raises `InvalidInput`."""
    if after:
        raise InvalidInput("after and since exclude each other")
    if isinstance(since, bool) or not isinstance(since, int) or since < 0:
        raise InvalidInput(
            f"since must be milliseconds since 1970, 0 or more, received {as_written(since)}"
        )
    return since


def checked_text(name: str, text: object) -> str:
    """A text. Raises `InvalidInput`."""
    if not isinstance(text, str):
        raise InvalidInput(f"{name} must be a text, received {as_written(text)}")
    return text


def checked_action(action: object) -> StreamAction | None:
    """The kind of a change. Raises `InvalidInput`."""
    if action is None or action in get_args(StreamAction):
        return action  # type: ignore[return-value] # one of them
    raise InvalidInput(
        f"action must be create, update, delete or expire, received {as_written(action)}"
    )


def stream_wait_ms(wait: Duration | None) -> int:
    """The time to wait for a record. Raises `InvalidInput`."""
    pause = 0 if wait is None else milliseconds("wait", wait)
    if pause > MOST_STREAM_WAIT_MS:
        raise InvalidInput(f"wait must be at most {MOST_STREAM_WAIT_MS} milliseconds")
    return pause


def _read_page(content: bytes) -> StreamPage:
    page = _decode_page(content)
    records = [*map(to_record, page.records)]
    return StreamPage(records, page.next, page.first, page.last)


def to_record(raw: RawRecord) -> StreamRecord:
    """A record as callers get it."""
    has_value = raw.value is not msgspec.UNSET
    return StreamRecord(
        raw.seq,
        raw.action,
        check_key(raw.key),
        untag(raw.value) if has_value else None,
        has_value,
        raw.versionstamp,
        raw.version,
        raw.type,
        raw.at,
    )
