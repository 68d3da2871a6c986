"""Sizes and durations as people write them in configuration files."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*(b|kb|mb|gb)?", re.IGNORECASE)
_SIZE_UNITS = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_DURATION = re.compile(r"(\d{0,18}\.?\d{1,18})\s*([a-z]{0,12})", re.ASCII | re.IGNORECASE)
_DURATION_NAMES = {
    0.001: ("", "ms", "msec", "msecs", "millisecond", "milliseconds"),
    1.0: ("s", "sec", "secs", "second", "seconds"),
    60.0: ("m", "min", "mins", "minute", "minutes"),
    3600.0: ("h", "hr", "hrs", "hour", "hours"),
    86_400.0: ("d", "day", "days"),
    604_800.0: ("w", "week", "weeks"),
    31_557_600.0: ("y", "yr", "yrs", "year", "years"),
}
"""As in requests to KeyVal, which follow npm's `ms`."""

_DURATION_UNITS = {name: unit for unit, names in _DURATION_NAMES.items() for name in names}


def parse_size(value: object) -> int:
    """Bytes of `1048576`, `"10mb"`, `"1.5 GB"`; units are powers of 1024. Raises `ValueError`."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ValueError('must be a number of bytes or a size such as "10mb"')
    return int(float(match[1]) * _SIZE_UNITS[(match[2] or "b").lower()])


def parse_duration(value: object) -> float:
    """Seconds of `500` (milliseconds), `"500ms"`, `"30s"`, `"5m"`, `"1h"`. Raises `ValueError`."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return value / 1000
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    unit = _DURATION_UNITS.get(match[2].lower()) if match else None
    if match is None or unit is None:
        raise ValueError('must be a number of milliseconds or a duration such as "30s"')
    return float(match[1]) * unit
