"""The kinds of members: what is valid, how it is read, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from buntime_keyval.wire import InvalidInput, check_keys, parse_expires_at, parse_expires_in
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.entry_types import checked_type
from buntime_keyval.wire.failures import checked_error
from buntime_keyval.wire.limits import MAX_ERROR_LENGTH, MAX_LIMIT
from buntime_keyval.wire.names import checked_name, checked_queue
from buntime_keyval.wire.searching import TOKENIZERS, parse_marks, parse_snippet, parse_weights

from buntime_plugin_keyval.model import messages
from buntime_plugin_keyval.requests import readers
from buntime_plugin_keyval.requests.shape import Kind

_NO_SCHEMA: Mapping[str, Any] = MappingProxyType({})


def in_both(
    expected: str, read: Callable[[str, Any], Any], schema: Mapping[str, Any], **more: Any
) -> Kind:
    """A kind that is read from a query and a body in the same way."""
    return Kind(expected, read, read, schema=schema, **more)


def in_body(
    expected: str,
    read: Callable[[str, Any], Any],
    schema: Mapping[str, Any] = _NO_SCHEMA,
    **more: Any,
) -> Kind:
    """A kind that only bodies can have."""
    return Kind(expected, None, read, schema=schema, **more)


def count_up_to(most: int) -> Kind:
    """A whole number from 1 to `most`."""

    def parse(name: str, raw: object) -> int:
        number = readers.read_whole(raw)
        if number is None or not 1 <= number <= most:
            raise InvalidInput(
                f"{name} must be a number from 1 to {most}, received {describe(raw)}"
            )
        return number

    schema = {"type": "integer", "minimum": 1, "maximum": most}
    return Kind(f"a number from 1 to {most}", parse, readers.number_of_json(parse), schema=schema)


def one_of(*choices: str) -> Kind:
    """One of a few texts."""
    expected = f"{', '.join(choices[:-1])} or {choices[-1]}"

    def parse(name: str, raw: object) -> str:
        if raw not in choices:
            raise InvalidInput(f"{name} must be {expected}, received {describe(raw)}")
        return str(raw)

    return in_both(expected, parse, {"enum": [*choices]})


def pause_up_to(most_ms: int) -> Kind:
    """A pause of at most `most_ms`."""

    def parse(name: str, raw: object) -> int:
        milliseconds = messages.parse_pause(name, raw)
        if milliseconds > most_ms:
            raise InvalidInput(f"{name} must be at most {most_ms} milliseconds")
        return milliseconds

    return in_both(_PAUSE_EXPECTED, parse, _DURATION_SCHEMA)


_KEY_EXPECTED = 'a key array such as ["users", 1], or a key path such as users/1'
_PAUSE_EXPECTED = 'milliseconds, or a duration such as "5s"'

_KEY_SCHEMA = {"type": ["array", "string"], "examples": ["users/1", ["users", 1]]}
_DURATION_SCHEMA = {"type": ["integer", "string"], "examples": ["30s", 500]}

LIMIT = in_both(
    f"a positive number, up to {MAX_LIMIT}",
    readers.parse_limit,
    {"type": "integer", "minimum": 1, "examples": [100]},
)
PAGE = count_up_to(MAX_LIMIT)
"""The limit of a list, which has fewer items only if there are no more."""
UP_TO = Kind(
    "a positive number",
    readers.read_up_to,
    readers.number_of_json(readers.read_up_to),
    schema={"type": "integer", "minimum": 1},
)
"""A limit of a count, not of entries that are read."""
OFFSET = Kind(
    "a whole number that is not negative",
    readers.read_offset,
    readers.number_of_json(readers.read_offset),
    schema={"type": "integer", "minimum": 0},
)
FLAG = Kind("true or false", readers.flag_of_text, readers.read_flag, schema={"type": "boolean"})
CONSISTENCY = one_of("strong", "eventual")
TEXT = in_both("a string", readers.read_text, {"type": "string"})
ERROR = in_both(
    f"a text of up to {MAX_ERROR_LENGTH} characters",
    checked_error,
    {"type": "string", "maxLength": MAX_ERROR_LENGTH},
)
"""The text of an error, which is stored."""
NAMED_TEXT = in_both("a text, which may be empty", readers.read_named_text, {"type": "string"})
"""A text that is required."""
QUEUE_NAME = in_both(
    "the name of a queue: a text of up to 256 characters without control characters",
    checked_queue,
    {"type": "string"},
)
MESSAGE_ID = in_both(
    "a non-empty string", readers.read_message_id, {"type": "string", "minLength": 1}
)
PREFIX = in_both(_KEY_EXPECTED, readers.read_prefix, _KEY_SCHEMA)
"""A prefix, encoded; empty for all keys."""
NAMED_PREFIX = Kind(
    _KEY_EXPECTED, readers.named_prefix_of_text, readers.read_named_prefix, schema=_KEY_SCHEMA
)
"""A prefix that is required, as a key."""
KEY = in_body(_KEY_EXPECTED, readers.unnamed(readers.body_key), _KEY_SCHEMA)
BOUND = in_both(_KEY_EXPECTED, readers.read_bound, _KEY_SCHEMA)
NAME = in_both(
    "a text of 1 to 256 characters without control characters",
    checked_name,
    {"type": "string", "minLength": 1, "maxLength": 256},
)
"""The name of a lock or an owner."""
BEGINNING = in_both(
    'a key whose last part is the beginning of a text, such as ["users", "a"]',
    readers.read_beginning,
    _KEY_SCHEMA,
)
"""The beginning of keys, encoded as a key."""
PATTERN = in_both(
    'a key array with {"$any": true} for parts that may be any, or a key path with * for them',
    readers.read_pattern,
    {"type": ["array", "string"], "examples": ["users/*/name", ["users", {"$any": True}, "name"]]},
)
"""A pattern of keys, in encoded pieces."""
PREFIXES = Kind(
    "comma-separated key paths, or keys as a JSON array",
    readers.prefixes_of_text,
    readers.read_prefixes,
    schema={"type": ["array", "string"], "examples": ["users/1,users/2"]},
    repeatable=True,
)
"""Prefixes, encoded; at least one."""
BATCH_KEYS = in_body(
    "an array of key arrays",
    readers.unnamed(check_keys),
    {"type": "array", "items": _KEY_SCHEMA, "examples": [[["users", 1]]]},
)
READS = in_body(
    "an array of key arrays",
    readers.read_reads,
    {"type": "array", "items": _KEY_SCHEMA, "examples": [[["users", 1]]]},
)
KEY_LIST = Kind(
    "comma-separated key paths, or keys as a JSON array",
    readers.key_list_of_text,
    readers.read_key_list,
    schema={"type": ["array", "string"], "examples": ["users/1,users/2"]},
    repeatable=True,
)
FILTER = in_body(
    'a filter such as {"age": {"$gte": 18}}',
    readers.read_filter,
    {"type": "object", "examples": [{"age": {"$gte": 18}}]},
)
EXPIRES_IN = in_both(
    'milliseconds, or a duration such as "30s"', readers.unnamed(parse_expires_in), _DURATION_SCHEMA
)
EXPIRES_AT = in_both(
    "a time in epoch milliseconds",
    readers.unnamed(parse_expires_at),
    {"type": "number", "examples": [1893456000000]},
)
TYPE = in_both(
    "a text of 1 to 256 characters",
    readers.unnamed(checked_type),
    {"type": "string", "minLength": 1, "maxLength": 256},
)
VERSION = in_both("a versionstamp", readers.read_version, {"type": "string", "minLength": 1})
REVISION = OFFSET
METADATA = Kind("any JSON", readers.json_of_text, readers.read_raw)
"""Metadata, decoded; `$now` is resolved when it is stored."""
STAMPS = Kind(
    "versionstamps, comma-separated or in an array",
    readers.stamps_of_text,
    readers.read_stamps,
    schema={"type": ["array", "string"]},
)
STAMP_PAIRS = in_both("what the poll before answered", readers.read_text, {"type": "string"})
VALUE = in_body("any JSON value, null included", readers.read_raw, nullable=True)
ITEMS = in_body("an array", readers.read_array, {"type": "array"})
"""Items that are read by a parser of their own."""
MESSAGE_OPTIONS = in_body(
    "an object",
    readers.unnamed(messages.parse_options),
    {"type": "object"},
    inner=messages.OPTION_NAMES,
)
PAUSE = in_both(_PAUSE_EXPECTED, messages.parse_pause, _DURATION_SCHEMA)
LEASE_DURATION = in_both(_PAUSE_EXPECTED, messages.parse_lease_duration, _DURATION_SCHEMA)
QUEUE_LEASE = in_body(
    "a duration of at least 1s, or null",
    readers.unnamed(messages.parse_queue_lease),
    {"type": ["integer", "string", "null"]},
)
BACKOFF = in_body(
    "an array of durations",
    messages.parse_backoff,
    {"type": "array", "items": _DURATION_SCHEMA, "examples": [["1s", "5s"]]},
)
RATE = in_body(
    'an object such as {"count": 100, "per": "1m"}',
    readers.unnamed(messages.parse_rate),
    {"type": ["object", "null"], "examples": [{"count": 100, "per": "1m"}]},
)
TOKENIZER = in_body(f"one of {', '.join(TOKENIZERS)}", readers.read_raw, {"enum": [*TOKENIZERS]})
"""Checked, like the fields, by the parser of an index's options."""
FIELDS = in_body(
    "a non-empty array of paths",
    readers.read_raw,
    {"type": "array", "minItems": 1, "examples": [["title", "body"]]},
)
WEIGHTS = in_body(
    "an object of numbers by field",
    readers.unnamed(parse_weights),
    {"type": "object", "examples": [{"title": 2}]},
)
MARKS = in_body("true or a pair of texts", readers.unnamed(parse_marks))
SNIPPET = in_body("true or a number of words", readers.unnamed(parse_snippet))
