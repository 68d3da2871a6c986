"""The kinds of members: how each is read from a query and from a JSON body."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from buntime_keyval.wire import (
    InvalidInput,
    Key,
    check_key,
    check_keys,
    check_pattern,
    decode_json,
    encode_key,
    encode_keys,
    encode_pattern,
    parse_expires_at,
    parse_expires_in,
    parse_key_path,
    parse_key_text,
    parse_pattern_text,
)
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.entry_types import checked_type
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.limits import MAX_ERROR_LENGTH, MAX_KEYS_PER_BATCH, MAX_LIMIT
from buntime_keyval.wire.names import checked_name, checked_queue
from buntime_keyval.wire.searching import (
    TOKENIZERS,
    parse_marks,
    parse_snippet,
    parse_weights,
)

from buntime_plugin_keyval.model.messages import (
    OPTION_NAMES,
    parse_backoff,
    parse_lease_duration,
    parse_options,
    parse_pause,
    parse_queue_lease,
    parse_rate,
)
from buntime_plugin_keyval.model.where import InvalidWhere, Where, parse_where
from buntime_plugin_keyval.requests.shape import Kind

_WHOLE = re.compile(r"(-?)[0-9]+", re.ASCII)
_MAX_DIGITS = 15
_HUGE: int = 10**15
"""As good as any larger number where entries are counted."""


def parse_limit(name: str, raw: object) -> int:
    """A limit as every route takes it: a whole number from 1; above 1000 it is 1000."""
    number = _whole(raw)
    if number is None or number < 1:
        raise InvalidInput(f"{name} must be a positive number, received {describe(raw)}")
    return min(number, MAX_LIMIT)


def _offset(name: str, raw: object) -> int:
    number = _whole(raw)
    if number is None:
        raise InvalidInput(f"{name} must be a whole number, received {describe(raw)}")
    if number < 0:
        raise InvalidInput(f"{name} must not be negative, received {describe(raw)}")
    return min(number, _HUGE)


def _whole(raw: object) -> int | None:
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


def _number_of_json(parse: Callable[[str, object], int]) -> Callable[[str, object], int]:
    """The same of a JSON body, in which a text is no number. `limit` of lists and searches takes
    one, as other servers of this API do."""

    def parse_number(name: str, raw: object) -> int:
        if isinstance(raw, str):
            raise InvalidInput(f"{name} must be a number, received {describe(raw)}")
        return parse(name, raw)

    return parse_number


def _up_to(name: str, raw: object) -> int:
    number = _whole(raw)
    if number is None or number < 1:
        raise InvalidInput(f"{name} must be a positive number, received {describe(raw)}")
    return min(number, _HUGE)


def count_up_to(most: int) -> Kind:
    """A whole number from 1 to `most`."""

    def parse(name: str, raw: object) -> int:
        number = _whole(raw)
        if number is None or not 1 <= number <= most:
            raise InvalidInput(
                f"{name} must be a number from 1 to {most}, received {describe(raw)}"
            )
        return number

    schema = {"type": "integer", "minimum": 1, "maximum": most}
    return Kind(
        f"a number from 1 to {most}",
        parse,
        _number_of_json(parse),
        schema=schema,
    )


def _flag_of_text(name: str, text: str) -> bool:
    if text not in ("true", "false"):
        raise InvalidInput(f"{name} must be true or false, received {describe(text)}")
    return text == "true"


def _flag(name: str, raw: object) -> bool:
    if not isinstance(raw, bool):
        raise InvalidInput(f"{name} must be a boolean, received {describe(raw)}")
    return raw


def _text(name: str, raw: object) -> str:
    if not isinstance(raw, str):
        raise InvalidInput(f"{name} must be a string, received {describe(raw)}")
    return raw


def _version(name: str, raw: object) -> str:
    if not isinstance(raw, str) or not raw:
        raise InvalidInput(f"{name} must be a versionstamp, received {describe(raw)}")
    return raw


def one_of(*choices: str) -> Kind:
    """One of a few texts."""
    expected = f"{', '.join(choices[:-1])} or {choices[-1]}"

    def parse(name: str, raw: object) -> str:
        if raw not in choices:
            raise InvalidInput(f"{name} must be {expected}, received {describe(raw)}")
        return str(raw)

    return Kind(
        expected,
        parse,
        parse,
        schema={"enum": [*choices]},
    )


def _message_id(name: str, raw: object) -> str:
    if not isinstance(raw, str) or not raw:
        raise InvalidInput(f"{name} must be a non-empty string, received {describe(raw)}")
    return raw


def body_key(raw: object) -> Key:
    """A key array, or a key path in the place of one."""
    return parse_key_text(raw) if isinstance(raw, str) else check_key(raw)


def _prefix(name: str, raw: object) -> bytes:
    return b"" if raw in (None, "", [], "[]") else encode_key(body_key(raw))


def _bound(name: str, raw: object) -> bytes | None:
    return _prefix(name, raw) or None


def _beginning(name: str, raw: object) -> bytes:
    key = body_key(raw)
    if not isinstance(key[-1], str):
        raise InvalidInput(
            f"{name} must end with a text, with which a part of keys begins, received"
            f" {describe(raw)}"
        )
    return encode_key(key)


def _pattern(name: str, raw: object) -> tuple[bytes, ...]:
    pattern = parse_pattern_text(raw) if isinstance(raw, str) else check_pattern(raw)
    return encode_pattern(pattern)


def _prefixes(name: str, raw: object) -> list[bytes]:
    return encode_keys(_key_list(name, raw))


def _prefixes_of_text(name: str, text: str) -> list[bytes]:
    keys = _key_list_of_text(name, text)
    if not keys:
        raise InvalidInput(f"{name} must be a non-empty list of keys")
    return encode_keys(keys)


def _named_prefix_of_text(name: str, text: str) -> Key:
    if not text:
        raise InvalidInput(f"Missing '{name}' query parameter")
    return parse_key_text(text)


def _named_prefix(name: str, raw: object) -> Key:
    if raw in (None, "", []):
        raise InvalidInput(f"{name} is required")
    return body_key(raw)


def _key(name: str, raw: object) -> Key:
    return body_key(raw)


def _named_text(name: str, raw: object) -> str:
    if raw is not None and not isinstance(raw, str):
        raise InvalidInput(f"{name} must be a string, received {describe(raw)}")
    if raw is None:
        raise InvalidInput(f"{name} is required")
    return raw


def _batch_keys(name: str, raw: object) -> list[Key]:
    return check_keys(raw)


def _reads(name: str, raw: object) -> list[Key]:
    return [] if raw == [] else check_keys(raw)


def _key_list(name: str, raw: object) -> list[Key]:
    """A body's keys: arrays, or key paths in their places."""
    if not isinstance(raw, list) or not raw:
        raise InvalidInput(f"{name} must be a non-empty array of keys")
    return check_number_of_keys([body_key(key) for key in raw[: MAX_KEYS_PER_BATCH + 1]], len(raw))


def check_number_of_keys(keys: list[Key], count: int) -> list[Key]:
    """The keys, if there are not too many of them. Raises `InvalidInput`."""
    if count > MAX_KEYS_PER_BATCH:
        raise InvalidInput(f"Too many keys: {count} (max {MAX_KEYS_PER_BATCH})")
    return keys


def _key_list_of_text(name: str, text: str) -> list[Key]:
    """A comma list of key paths, or a JSON array: one key, or several."""
    if text.startswith("["):
        try:
            raw = decode_json(text.encode())
        except (InvalidInput, UnicodeEncodeError):
            raw = None
        if isinstance(raw, list):
            nested = bool(raw) and isinstance(raw[0], list)
            return check_keys(raw) if nested else [check_key(raw)]
    return [parse_key_path(path) for path in text.split(",") if path]


def _filter(name: str, raw: object) -> Where:
    try:
        return parse_where(raw)
    except InvalidWhere as error:
        raise InvalidInput(str(error)) from None


def _stamps_of_text(name: str, text: str) -> list[str]:
    return text.split(",")  # empty ones keep their places


def _stamps(name: str, raw: object) -> list[str]:
    if isinstance(raw, list):
        if not all(isinstance(stamp, str) for stamp in raw):
            raise InvalidInput(f"{name} must be strings")
        return raw
    return _text(name, raw).split(",")


def _array(name: str, raw: object) -> list[Any]:
    if not isinstance(raw, list):
        raise InvalidInput(f"{name} must be an array, received {describe(raw)}")
    return raw


def _raw(name: str, raw: Any) -> Any:
    return raw


def _unnamed(parse: Callable[[Any], Any]) -> Callable[[str, Any], Any]:
    """A parser that knows by itself how its member is called."""

    def named(name: str, raw: Any) -> Any:
        return parse(raw)

    return named


def _json_of_text(name: str, text: str) -> Any:
    try:
        return decode_json(text.encode())
    except (InvalidInput, UnicodeEncodeError):
        raise InvalidInput(f"{name} must be JSON, received {text:.50}") from None


_KEY_EXPECTED = 'a key array such as ["users", 1], or a key path such as users/1'

_KEY_SCHEMA = {"type": ["array", "string"], "examples": ["users/1", ["users", 1]]}
_DURATION_SCHEMA = {"type": ["integer", "string"], "examples": ["30s", 500]}

LIMIT = Kind(
    f"a positive number, up to {MAX_LIMIT}",
    parse_limit,
    parse_limit,
    schema={"type": "integer", "minimum": 1, "examples": [100]},
)
PAGE = count_up_to(MAX_LIMIT)
"""So many of a list, which are never fewer than were asked for unless there are no more."""
UP_TO = Kind(
    "a positive number", _up_to, _number_of_json(_up_to), schema={"type": "integer", "minimum": 1}
)
"""One that bounds a number and not what is read."""
OFFSET = Kind(
    "a whole number that is not negative",
    _offset,
    _number_of_json(_offset),
    schema={"type": "integer", "minimum": 0},
)
FLAG = Kind(
    "true or false",
    _flag_of_text,
    _flag,
    schema={"type": "boolean"},
)
CONSISTENCY = one_of("strong", "eventual")
TEXT = Kind(
    "a string",
    _text,
    _text,
    schema={"type": "string"},
)
ERROR = Kind(
    f"a text of up to {MAX_ERROR_LENGTH} characters",
    checked_error,
    checked_error,
    schema={"type": "string", "maxLength": MAX_ERROR_LENGTH},
)
"""What went wrong, which is kept."""
NAMED_TEXT = Kind(
    "a text, which may be empty",
    _named_text,
    _named_text,
    schema={"type": "string"},
)
"""One that has to be there."""
QUEUE_NAME = Kind(
    "the name of a queue: a text of up to 256 characters without control characters",
    checked_queue,
    checked_queue,
    schema={"type": "string"},
)
MESSAGE_ID = Kind(
    "a non-empty string", _message_id, _message_id, schema={"type": "string", "minLength": 1}
)
PREFIX = Kind(
    _KEY_EXPECTED,
    _prefix,
    _prefix,
    schema=_KEY_SCHEMA,
)
"""Encoded; nothing, for all keys, where it is empty."""
NAMED_PREFIX = Kind(
    _KEY_EXPECTED,
    _named_prefix_of_text,
    _named_prefix,
    schema=_KEY_SCHEMA,
)
"""One that has to be there, as a key."""
KEY = Kind(
    _KEY_EXPECTED,
    None,
    _key,
    schema=_KEY_SCHEMA,
)
BOUND = Kind(
    _KEY_EXPECTED,
    _bound,
    _bound,
    schema=_KEY_SCHEMA,
)
NAME = Kind(
    "a text of 1 to 256 characters without control characters",
    checked_name,
    checked_name,
    schema={"type": "string", "minLength": 1, "maxLength": 256},
)
"""Of a lock, or of who has one."""
BEGINNING = Kind(
    'a key whose last part is the beginning of a text, such as ["users", "a"]',
    _beginning,
    _beginning,
    schema=_KEY_SCHEMA,
)
"""Encoded as a key."""
PATTERN = Kind(
    'a key array with {"$any": true} for parts that may be any, or a key path with * for them',
    _pattern,
    _pattern,
    schema={
        "type": ["array", "string"],
        "examples": ["users/*/name", ["users", {"$any": True}, "name"]],
    },
)
"""Encoded, in pieces."""
PREFIXES = Kind(
    "comma-separated key paths, or keys as a JSON array",
    _prefixes_of_text,
    _prefixes,
    repeatable=True,
    schema={"type": ["array", "string"], "examples": ["users/1,users/2"]},
)
"""Encoded; at least one."""
BATCH_KEYS = Kind(
    "an array of key arrays",
    None,
    _batch_keys,
    schema={"type": "array", "items": _KEY_SCHEMA, "examples": [[["users", 1]]]},
)
READS = Kind(
    "an array of key arrays",
    None,
    _reads,
    schema={"type": "array", "items": _KEY_SCHEMA, "examples": [[["users", 1]]]},
)
KEY_LIST = Kind(
    "comma-separated key paths, or keys as a JSON array",
    _key_list_of_text,
    _key_list,
    repeatable=True,
    schema={"type": ["array", "string"], "examples": ["users/1,users/2"]},
)
FILTER = Kind(
    'a filter such as {"age": {"$gte": 18}}',
    None,
    _filter,
    schema={"type": "object", "examples": [{"age": {"$gte": 18}}]},
)
EXPIRES_IN = Kind(
    'milliseconds, or a duration such as "30s"',
    _unnamed(parse_expires_in),
    _unnamed(parse_expires_in),
    schema=_DURATION_SCHEMA,
)
EXPIRES_AT = Kind(
    "a time in epoch milliseconds",
    _unnamed(parse_expires_at),
    _unnamed(parse_expires_at),
    schema={"type": "number", "examples": [1893456000000]},
)
TYPE = Kind(
    "a text of 1 to 256 characters",
    _unnamed(checked_type),
    _unnamed(checked_type),
    schema={"type": "string", "minLength": 1, "maxLength": 256},
)
VERSION = Kind(
    "a versionstamp",
    _version,
    _version,
    schema={"type": "string", "minLength": 1},
)
REVISION = OFFSET
METADATA = Kind("any JSON", _json_of_text, _raw)
"""Decoded; whoever stores it knows what time it is."""
STAMPS = Kind(
    "versionstamps, comma-separated or in an array",
    _stamps_of_text,
    _stamps,
    schema={"type": ["array", "string"]},
)
STAMP_PAIRS = Kind(
    "what the poll before answered",
    _text,
    _text,
    schema={"type": "string"},
)
VALUE = Kind("any JSON value, null included", None, _raw, nullable=True)
ITEMS = Kind(
    "an array",
    None,
    _array,
    schema={"type": "array"},
)
"""Left for the parser of its items."""
MESSAGE_OPTIONS = Kind(
    "an object", None, _unnamed(parse_options), inner=OPTION_NAMES, schema={"type": "object"}
)
PAUSE = Kind(
    'milliseconds, or a duration such as "5s"', parse_pause, parse_pause, schema=_DURATION_SCHEMA
)


def pause_up_to(most_ms: int) -> Kind:
    """A pause of at most so many milliseconds."""

    def parse(name: str, raw: object) -> int:
        milliseconds = parse_pause(name, raw)
        if milliseconds > most_ms:
            raise InvalidInput(f"{name} must be at most {most_ms} milliseconds")
        return milliseconds

    return Kind(PAUSE.expected, parse, parse, schema=_DURATION_SCHEMA)


LEASE_DURATION = Kind(
    'milliseconds, or a duration such as "5s"',
    parse_lease_duration,
    parse_lease_duration,
    schema=_DURATION_SCHEMA,
)
QUEUE_LEASE = Kind(
    "a duration of at least 1s, or null",
    None,
    _unnamed(parse_queue_lease),
    schema={"type": ["integer", "string", "null"]},
)
BACKOFF = Kind(
    "an array of durations",
    None,
    parse_backoff,
    schema={"type": "array", "items": _DURATION_SCHEMA, "examples": [["1s", "5s"]]},
)
RATE = Kind(
    'an object such as {"count": 100, "per": "1m"}',
    None,
    _unnamed(parse_rate),
    schema={"type": ["object", "null"], "examples": [{"count": 100, "per": "1m"}]},
)
TOKENIZER = Kind(
    f"one of {', '.join(TOKENIZERS)}",
    None,
    _raw,
    schema={"enum": [*TOKENIZERS]},
)
"""Left, as the fields are, for the parser of an index's options."""
FIELDS = Kind(
    "a non-empty array of paths",
    None,
    _raw,
    schema={"type": "array", "minItems": 1, "examples": [["title", "body"]]},
)
WEIGHTS = Kind(
    "an object of numbers by field",
    None,
    _unnamed(parse_weights),
    schema={"type": "object", "examples": [{"title": 2}]},
)
MARKS = Kind("true or a pair of texts", None, _unnamed(parse_marks))
SNIPPET = Kind("true or a number of words", None, _unnamed(parse_snippet))
