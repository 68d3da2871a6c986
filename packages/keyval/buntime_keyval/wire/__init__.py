"""The wire contract of KeyVal: everything that server and client must agree on, and no I/O."""

from buntime_keyval.wire.durations import (
    Duration,
    parse_duration,
    parse_expires_at,
    parse_expires_in,
)
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.keys import (
    UUIDV7,
    Key,
    KeyLike,
    KeyOrKeys,
    KeyPart,
    Placeholder,
    check_key,
    check_keys,
    decode_key,
    encode_key,
    key_to_json,
    part_ends,
)
from buntime_keyval.wire.metadata import canonical_metadata, encode_metadata, parse_metadata
from buntime_keyval.wire.numbers import BigInt, parse_integer, read_integer
from buntime_keyval.wire.paths import (
    encode_key_path,
    format_key_path,
    format_key_text,
    parse_key_path,
    parse_key_text,
)
from buntime_keyval.wire.values import (
    NOW_MEMBER,
    canonical_text,
    canonical_value,
    decode_json,
    decode_value,
    encode_value,
    untag,
)

__all__ = [
    "NOW_MEMBER",
    "UUIDV7",
    "BigInt",
    "Duration",
    "InvalidInput",
    "Key",
    "KeyLike",
    "KeyOrKeys",
    "KeyPart",
    "Placeholder",
    "canonical_metadata",
    "canonical_text",
    "canonical_value",
    "check_key",
    "check_keys",
    "decode_json",
    "decode_key",
    "decode_value",
    "encode_key",
    "encode_key_path",
    "encode_metadata",
    "encode_value",
    "format_key_path",
    "format_key_text",
    "key_to_json",
    "parse_duration",
    "parse_expires_at",
    "parse_expires_in",
    "parse_integer",
    "parse_key_path",
    "parse_key_text",
    "parse_metadata",
    "part_ends",
    "read_integer",
    "untag",
]
