"""Durations: milliseconds, or text in the grammar of npm's `ms` 2.1.3."""

from __future__ import annotations

import math
import re
import sys
from datetime import datetime, timedelta

from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_TIMESTAMP_MS

Duration = float | str | timedelta
"""Milliseconds, a text such as `"1.5h"`, or a `timedelta`."""

_SECOND = 1000.0
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_DAY = 24 * _HOUR
_UNITS = {
    1.0: ("", "ms", "msec", "msecs", "millisecond", "milliseconds"),
    _SECOND: ("s", "sec", "secs", "second", "seconds"),
    _MINUTE: ("m", "min", "mins", "minute", "minutes"),
    _HOUR: ("h", "hr", "hrs", "hour", "hours"),
    _DAY: ("d", "day", "days"),
    7 * _DAY: ("w", "week", "weeks"),
    365.25 * _DAY: ("y", "yr", "yrs", "year", "years"),
}
_MILLISECONDS = {name: factor for factor, names in _UNITS.items() for name in names}
_DURATION = re.compile(r"(-?(?:\d+)?\.?\d+) *([a-z]*)", re.ASCII | re.IGNORECASE)
_MOMENT = re.compile(r"[0-9]{1,17}", re.ASCII)
_MAX_TEXT = 100
_LONGEST = sys.float_info.max
_MILLISECOND = timedelta(milliseconds=1)


def parse_duration(value: object) -> float:
    """Milliseconds of a `Duration`: a number of them, a text such as `"1.5h"`, or a `timedelta`.

    Units in any case: ms, s, m, h, d, w, y (365.25 days) and their long forms; none means
    milliseconds. The sign is kept: whether a negative duration makes sense is the caller's to say.

    Raises `InvalidInput` for anything else, NaN and infinities included.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if not -_LONGEST <= value <= _LONGEST:  # NaN is not either
            raise InvalidInput(f"Invalid duration: {value!r:.50}")
        return value
    if isinstance(value, timedelta):
        return value / _MILLISECOND
    if isinstance(value, str) and len(value) <= _MAX_TEXT:
        match = _DURATION.fullmatch(value)
        factor = _MILLISECONDS.get(match[2].lower()) if match else None
        if match and factor is not None:
            return float(match[1]) * factor
    shown = f'"{value}"' if isinstance(value, str) else str(value)
    raise InvalidInput(f"Invalid duration format: {shown[:_MAX_TEXT]}")


def parse_expires_in(value: object) -> int | None:
    """Milliseconds that an entry lives, rounded up; None, or an absent option, means for ever.

    Raises `InvalidInput` for anything but a positive number or duration text.
    """
    if value is None:
        return None
    try:
        milliseconds = parse_duration(value)
    except InvalidInput:
        raise InvalidInput(
            'expiresIn must be a number (milliseconds) or a duration such as "30s", '
            f"received {describe(value)}"
        ) from None
    if milliseconds <= 0:
        raise InvalidInput(f"expiresIn must be a positive number (milliseconds), received {value}")
    return math.ceil(min(milliseconds, MAX_TIMESTAMP_MS))


def parse_expires_at(value: object) -> int | None:
    """Epoch milliseconds at which an entry expires, rounded up; None for an absent option.

    A number, its decimal text, or an aware `datetime`. A moment that is past is allowed: what is
    stored with it is gone at once. Raises `InvalidInput` for anything else.
    """
    if value is None:
        return None
    moment: object = value
    if isinstance(value, datetime) and value.tzinfo is not None:
        moment = value.timestamp() * 1000
    elif isinstance(value, str) and _MOMENT.fullmatch(value):
        moment = float(value)
    if (
        isinstance(moment, (int, float))
        and not isinstance(moment, bool)
        and 0 < moment <= _LONGEST  # NaN is not
    ):
        return math.ceil(min(moment, MAX_TIMESTAMP_MS))
    shown = repr(value) if isinstance(value, datetime) else describe(value)
    raise InvalidInput(f"expiresAt must be a time in epoch milliseconds, received {shown}")
