"""Readers of members of requests: from the text of a query, or a value of a JSON body.

Each reader is called with the name of its member, and raises `InvalidInput`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from buntime_keyval import wire
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import MAX_KEYS_PER_BATCH, MAX_LIMIT

from buntime_plugin_keyval.model.where import InvalidWhere, Where, parse_where

_WHOLE = re.compile(r"(-?)[0-9]+", re.ASCII)
_MAX_DIGITS = 15
_HUGE: int = 10**15
"""Stands for any larger number where entries are counted."""


def parse_limit(name: str, raw: object) -> int:
    """A limit as all routes take it: a whole number of at least 1, cut to 1000."""
    return min(read_up_to(name, raw), MAX_LIMIT)


def read_offset(name: str, raw: object) -> int:
    number = read_whole(raw)
    if number is None:
        raise wire.InvalidInput(f"{name} must be a whole number, received {describe(raw)}")
    if number < 0:
        raise wire.InvalidInput(f"{name} must not be negative, received {describe(raw)}")
    return min(number, _HUGE)


def read_whole(raw: object) -> int | None:
    """A whole number of JSON, or its decimal text."""
    if isinstance(raw, str):
        if len(raw) <= _MAX_DIGITS and raw.isdecimal() and raw.isascii():
            return int(raw)
        match = _WHOLE.fullmatch(raw)
        if match is None:
            return None
        if len(raw) <= _MAX_DIGITS:
            return int(raw)
        return -_HUGE if match[1] else _HUGE
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        return None
    return int(raw) if isinstance(raw, int) or raw.is_integer() else None


def number_of_json(parse: Callable[[str, object], int]) -> Callable[[str, object], int]:
    """A reader of numbers in JSON bodies, in which a text is no number.

    Only `limit` of lists and searches accepts one, as other servers of this API do.
    """

    def parse_number(name: str, raw: object) -> int:
        if isinstance(raw, str):
            raise wire.InvalidInput(f"{name} must be a number, received {describe(raw)}")
        return parse(name, raw)

    return parse_number


def read_up_to(name: str, raw: object) -> int:
    number = read_whole(raw)
    if number is None or number < 1:
        raise wire.InvalidInput(f"{name} must be a positive number, received {describe(raw)}")
    return min(number, _HUGE)


def flag_of_text(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise wire.InvalidInput(f"{name} must be true or false, received {describe(text)}")
    return text == "true"


def read_flag(name: str, raw: object) -> bool:
    if not isinstance(raw, bool):
        raise wire.InvalidInput(f"{name} must be a boolean, received {describe(raw)}")
    return raw


def read_text(name: str, raw: object) -> str:
    if not isinstance(raw, str):
        raise wire.InvalidInput(f"{name} must be a string, received {describe(raw)}")
    return raw


def read_version(name: str, raw: object) -> str:
    if not isinstance(raw, str) or not raw:
        raise wire.InvalidInput(f"{name} must be a versionstamp, received {describe(raw)}")
    return raw


def read_message_id(name: str, raw: object) -> str:
    if not isinstance(raw, str) or not raw:
        raise wire.InvalidInput(f"{name} must be a non-empty string, received {describe(raw)}")
    return raw


def body_key(raw: object) -> wire.Key:
    """A key, from an array or a key path."""
    return wire.parse_key_text(raw) if isinstance(raw, str) else wire.check_key(raw)


def read_prefix(name: str, raw: object) -> bytes:
    return b"" if raw in (None, "", [], "[]") else wire.encode_key(body_key(raw))


def read_bound(name: str, raw: object) -> bytes | None:
    return read_prefix(name, raw) or None


def read_beginning(name: str, raw: object) -> bytes:
    key = body_key(raw)
    if not isinstance(key[-1], str):
        raise wire.InvalidInput(
            f"{name} must end with a text, with which a part of keys begins, received"
            f" {describe(raw)}"
        )
    return wire.encode_key(key)


def read_pattern(name: str, raw: object) -> tuple[bytes, ...]:
    pattern = wire.parse_pattern_text(raw) if isinstance(raw, str) else wire.check_pattern(raw)
    return wire.encode_pattern(pattern)


def read_prefixes(name: str, raw: object) -> list[bytes]:
    return wire.encode_keys(read_key_list(name, raw))


def prefixes_of_text(name: str, text: str) -> list[bytes]:
    keys = key_list_of_text(name, text)
    if not keys:
        raise wire.InvalidInput(f"{name} must be a non-empty list of keys")
    return wire.encode_keys(keys)


def named_prefix_of_text(name: str, text: str) -> wire.Key:
    if not text:
        raise wire.InvalidInput(f"Missing '{name}' query parameter")
    return wire.parse_key_text(text)


def read_named_prefix(name: str, raw: object) -> wire.Key:
    if raw in (None, "", []):
        raise wire.InvalidInput(f"{name} is required")
    return body_key(raw)


def read_named_text(name: str, raw: object) -> str:
    if raw is not None and not isinstance(raw, str):
        raise wire.InvalidInput(f"{name} must be a string, received {describe(raw)}")
    if raw is None:
        raise wire.InvalidInput(f"{name} is required")
    return raw


def read_reads(name: str, raw: object) -> list[wire.Key]:
    return [] if raw == [] else wire.check_keys(raw)


def read_key_list(name: str, raw: object) -> list[wire.Key]:
    """The keys of a body, from arrays or key paths."""
    if not isinstance(raw, list) or not raw:
        raise wire.InvalidInput(f"{name} must be a non-empty array of keys")
    return check_number_of_keys([body_key(key) for key in raw[: MAX_KEYS_PER_BATCH + 1]], len(raw))


def check_number_of_keys(keys: list[wire.Key], count: int) -> list[wire.Key]:
    """The keys, unless there are too many. Raises `InvalidInput`."""
    if count > MAX_KEYS_PER_BATCH:
        raise wire.InvalidInput(f"Too many keys: {count} (max {MAX_KEYS_PER_BATCH})")
    return keys


def key_list_of_text(name: str, text: str) -> list[wire.Key]:
    """The keys of a comma-separated list of key paths, or of a JSON array of one key or several."""
    if text.startswith("["):
        try:
            raw = wire.decode_json(text.encode())
        except (wire.InvalidInput, UnicodeEncodeError):
            raw = None
        if isinstance(raw, list):
            nested = bool(raw) and isinstance(raw[0], list)
            return wire.check_keys(raw) if nested else [wire.check_key(raw)]
    return [wire.parse_key_path(path) for path in text.split(",") if path]


def read_filter(name: str, raw: object) -> Where:
    try:
        return parse_where(raw)
    except InvalidWhere as error:
        raise wire.InvalidInput(str(error)) from None


def stamps_of_text(name: str, text: str) -> list[str]:
    return text.split(",")  # empty texts keep their places


def read_stamps(name: str, raw: object) -> list[str]:
    if isinstance(raw, list):
        if not all(isinstance(stamp, str) for stamp in raw):
            raise wire.InvalidInput(f"{name} must be strings")
        return raw
    return read_text(name, raw).split(",")


def read_array(name: str, raw: object) -> list[Any]:
    if not isinstance(raw, list):
        raise wire.InvalidInput(f"{name} must be an array, received {describe(raw)}")
    return raw


def read_raw(name: str, raw: Any) -> Any:
    return raw


def unnamed(parse: Callable[[Any], Any]) -> Callable[[str, Any], Any]:
    """A reader from a parser that is not called with the name of its member."""

    def named(name: str, raw: Any) -> Any:
        return parse(raw)

    return named


def json_of_text(name: str, text: str) -> Any:
    try:
        return wire.decode_json(text.encode())
    except (wire.InvalidInput, UnicodeEncodeError):
        raise wire.InvalidInput(f"{name} must be JSON, received {text:.50}") from None
