"""Options that Python code gives, as opposed to those that a request brings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal, NoReturn

from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions, MessageOptions
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.durations import (
    Duration,
    parse_duration,
    parse_expires_at,
    parse_expires_in,
)
from buntime_keyval.wire.entry_types import checked_type
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.keys import KeyLike
from buntime_keyval.wire.limits import MAX_BACKOFF_STEPS
from buntime_keyval.wire.metadata import encode_metadata
from buntime_keyval.wire.names import checked_name, checked_priority, checked_queue
from buntime_keyval.wire.python_keys import checked_keys

Consistency = Literal["strong", "eventual"]
"""What a read sees where servers have replicas: all that was committed before it, for which the
primary is asked, or what the same client wrote and what it read before, and perhaps no more."""

SECONDS_PERHAPS = 1000
"""Numbers below are refused as lives and timeouts: nearly always seconds are meant."""
_EPOCH_SECONDS_PERHAPS = 100_000_000_000
"""The same of moments: as milliseconds they are before 1974, as seconds beyond the year 5000."""


def checked_expires_in(value: object) -> int | None:
    """Milliseconds that an entry lives, rounded up; None, or an absent option, means for ever.

    Raises `InvalidInput` for what is no positive `Duration`, and for numbers so small that they
    look like seconds; a text or a `timedelta` may be as short.
    """
    try:
        milliseconds = parse_expires_in(value)
    except InvalidInput:
        raise InvalidInput(
            f'expires_in must be a positive duration: "30s", a timedelta, or milliseconds; received'
            f" {value!r:.100}"
        ) from None
    if isinstance(value, (int, float)) and value < SECONDS_PERHAPS:
        raise InvalidInput(
            f'expires_in={value} would be {value} milliseconds: write "{value}s" or "{value}ms",'
            " or give a timedelta"
        )
    return milliseconds


def checked_lifetime(text: str) -> str:
    """The same of the text that somebody typed, where a unit is asked for as well."""
    number = text.strip()
    if number.isdecimal() and 0 < int(number) < SECONDS_PERHAPS:
        raise InvalidInput(
            f"{number} would be {number} milliseconds: write {number}s or {number}ms"
        )
    return text


def checked_expires_at(value: object) -> int | None:
    """Epoch milliseconds at which an entry expires, rounded up; None for an absent option.

    Raises `InvalidInput` for anything but an aware `datetime`, a number or its decimal text, and
    for numbers so small that they look like seconds.
    """
    is_flag = isinstance(value, bool)
    if not is_flag and isinstance(value, (int, float)) and 0 < value < _EPOCH_SECONDS_PERHAPS:
        raise InvalidInput(
            f"expires_at={value} would be long ago, as milliseconds since 1970: multiply seconds by"
            " 1000, or give an aware datetime"
        )
    try:
        return parse_expires_at(value)
    except InvalidInput:
        zone = isinstance(value, datetime) and value.tzinfo is None
        raise InvalidInput(
            "expires_at must be an aware datetime or epoch milliseconds, received"
            f" {value!r:.100}{', which has no time zone' if zone else ''}"
        ) from None


_WRITTEN_HERE = {
    "ttl": 'expires_in="5m", or milliseconds, as a ttl is',
    "expiresAt": "expires_at=, in epoch milliseconds or as an aware datetime",
    "expiresIn": 'expires_in="5m", or milliseconds',
    "expireIn": 'expires_in="5m", or milliseconds',
    "expire_in": 'expires_in="5m", or milliseconds',
    "meta": "metadata=",
}
"""Options of other stores, and what does the same here."""


def refuse_unknown(method: str, unknown: Mapping[str, object]) -> NoReturn:
    """Raise the `TypeError` for options that a method does not have, with what it has instead."""
    name = next(iter(unknown))
    hint = f": write {_WRITTEN_HERE[name]}" if name in _WRITTEN_HERE else ""
    raise TypeError(f"{method}() got an unexpected keyword argument {name!r}{hint}")


def is_strong(consistency: object) -> bool:
    """Whether a read has to see everything. Raises `InvalidInput` for what is no `Consistency`."""
    if consistency not in ("strong", "eventual"):
        raise InvalidInput(
            f'consistency must be "strong" or "eventual", received {describe(consistency)}'
        )
    return consistency == "strong"


def entry_options(
    expires_in: object,
    expires_at: object,
    metadata: Any,
    now_ms: int | None = None,
    *,
    type: object = None,
) -> EntryOptions:
    """The checked options of a write; without `now_ms`, `$now` is left to whoever stores it.

    Raises `InvalidInput`.
    """
    if expires_in is None and expires_at is None and metadata is None and type is None:
        return NO_OPTIONS
    return EntryOptions(
        checked_expires_in(expires_in),
        checked_expires_at(expires_at),
        encode_metadata(metadata, now_ms),
        checked_type(type),
    )


def message_options(
    delay: Duration | None,
    backoff_schedule: Sequence[Duration] | None,
    keys_if_undelivered: Sequence[KeyLike] | None,
    queue: str = "",
    priority: int = 0,
    id: str | None = None,
) -> MessageOptions:
    """The checked options of a message. Raises `InvalidInput`."""
    pauses = None
    if backoff_schedule is not None:
        if isinstance(backoff_schedule, str):
            raise InvalidInput("backoff_schedule must be a list of durations")
        if len(backoff_schedule) > MAX_BACKOFF_STEPS:
            raise InvalidInput(
                f"backoff_schedule too long: {len(backoff_schedule)} (max {MAX_BACKOFF_STEPS})"
            )
        pauses = tuple(
            milliseconds(f"backoff_schedule[{index}]", pause)
            for index, pause in enumerate(backoff_schedule)
        )
    return MessageOptions(
        0 if delay is None else milliseconds("delay", delay),
        pauses,
        tuple(checked_keys(keys_if_undelivered)) if keys_if_undelivered else (),
        checked_queue("queue", queue),
        checked_priority("priority", priority),
        None if id is None else checked_name("id", id),
    )


def milliseconds(name: str, duration: Duration) -> int:
    """A duration that is not negative, rounded up. Raises `InvalidInput`."""
    length = parse_duration(duration)
    if length < 0:
        raise InvalidInput(f"{name} must not be negative, received {duration!r:.50}")
    return math.ceil(length)
