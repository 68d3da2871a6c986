"""Sizes and durations as people write them in configuration files."""

from __future__ import annotations

import re

_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*(b|kb|mb|gb)?", re.IGNORECASE)
_SIZE_UNITS = {"b": 1, "kb": 1024, "mb": 1024**2, "gb": 1024**3}
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?)\s*(ms|s|m|h|d|w|y)?", re.IGNORECASE)
_DURATION_UNITS = {
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 604_800.0,
    "y": 31_557_600.0,
}


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
    if match is None:
        raise ValueError('must be a number of milliseconds or a duration such as "30s"')
    return float(match[1]) * _DURATION_UNITS[(match[2] or "ms").lower()]
