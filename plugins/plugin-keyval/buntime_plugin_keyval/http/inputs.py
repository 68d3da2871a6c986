"""Options that several routes share, from query parameters and JSON bodies."""

from __future__ import annotations

import math
import re
from typing import Any

from buntime_keyval.wire import (
    InvalidInput,
    Key,
    check_key,
    decode_json,
    encode_key,
    parse_key_text,
)
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import DEFAULT_LIMIT, MAX_LIMIT

from buntime_plugin_keyval.storage.ranges import KeyRange
from buntime_plugin_keyval.store import listing_range
from buntime_plugin_keyval.where import InvalidWhere, Where, parse_where

# What JavaScript's parseInt reads: the digits that a text starts with.
_LEADING_INTEGER = re.compile(r"\s*([+-]?[0-9]{1,15})", re.ASCII)


def parse_limit(raw: object) -> int:
    """A limit as every route takes it: 100 if absent, at most 1000. Raises `InvalidInput`."""
    if raw is None:
        return DEFAULT_LIMIT
    number = 0
    if isinstance(raw, str):
        match = _LEADING_INTEGER.match(raw)
        number = int(match[1]) if match else 0
    elif isinstance(raw, (int, float)) and not isinstance(raw, bool) and math.isfinite(raw):
        number = int(raw)
    if number < 1:
        raise InvalidInput(f"limit must be a positive number, received {describe(raw)}")
    return min(number, MAX_LIMIT)


def parse_offset(raw: str | None) -> int:
    """The number of entries to skip: 0 if absent. Raises `InvalidInput`."""
    if raw is None:
        return 0
    match = _LEADING_INTEGER.match(raw)
    if match is None or int(match[1]) < 0:
        raise InvalidInput(f"offset must not be negative, received {describe(raw)}")
    return int(match[1])


def parse_count(name: str, raw: str | None, *, most: int) -> int | None:
    """A number from 1 to `most`, or None if absent. Raises `InvalidInput`."""
    if raw is None:
        return None
    match = _LEADING_INTEGER.fullmatch(raw)
    if match is None or not 1 <= int(match[1]) <= most:
        raise InvalidInput(f"{name} must be a number from 1 to {most}, received {describe(raw)}")
    return int(match[1])


def parse_object(content: bytes) -> dict[str, Any]:
    """A JSON object. Raises `InvalidInput` for anything else."""
    value = decode_json(content)
    if not isinstance(value, dict):
        raise InvalidInput(f"Body must be a JSON object, received {describe(value)}")
    return value


def parse_prefix(raw: object) -> bytes:
    """The encoded prefix of a body or query: a key array, a key path, or nothing for all keys."""
    if raw in (None, "", [], "[]"):
        return b""
    return encode_key(parse_body_key(raw))


def parse_bound(raw: object) -> bytes | None:
    """The encoded `start` or `end` of a body or query, or None."""
    return parse_prefix(raw) or None


def parse_body_key(raw: object) -> Key:
    """A key array, or a key path in the place of one."""
    return parse_key_text(raw) if isinstance(raw, str) else check_key(raw)


def parse_selection(source: dict[str, Any]) -> KeyRange:
    """The range that `prefix`, `start` and `end` name."""
    return listing_range(
        parse_prefix(source.get("prefix")),
        parse_bound(source.get("start")),
        parse_bound(source.get("end")),
    )


def parse_filter(raw: object) -> Where | None:
    """A where filter, or None if absent. Raises `InvalidInput`."""
    if raw is None:
        return None
    try:
        return parse_where(raw)
    except InvalidWhere as error:
        raise InvalidInput(str(error)) from None


def parse_flag(name: str, raw: object, *, default: bool = False) -> bool:
    """A boolean of a JSON body. Raises `InvalidInput`."""
    if raw is None:
        return default
    if not isinstance(raw, bool):
        raise InvalidInput(f"{name} must be a boolean, received {describe(raw)}")
    return raw


def parse_text(name: str, raw: object) -> str | None:
    """A text of a JSON body, None if absent. Raises `InvalidInput`."""
    if raw is None or isinstance(raw, str):
        return raw
    raise InvalidInput(f"{name} must be a string, received {describe(raw)}")
