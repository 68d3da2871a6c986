"""Key paths: keys as text in a URL path or a query parameter.

A key path is a list of percent-encoded segments joined by `/`. It is split first and then each
segment is decoded once, so a part may hold a slash (`%2F`). A decoded segment that is a decimal
integer within ±(2^53 - 1) is a number, every other one a string; what a path cannot say is
written as a JSON array instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import quote, unquote_to_bytes

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.keys import Key, KeyPart, check_key, encode_key, encode_number, key_to_json
from buntime_keyval.wire.limits import MAX_KEY_PART_LENGTH, MAX_KEY_PARTS, MAX_SAFE_INTEGER
from buntime_keyval.wire.numbers import BigInt
from buntime_keyval.wire.values import decode_json

_INTEGER = re.compile(r"-?[0-9]+")
_SURELY_SAFE_DIGITS = 16
_SURELY_SHORT = MAX_KEY_PART_LENGTH // 2
"""Bytes of a path none of whose parts can be too long."""
_PLAIN = bytes(
    code if 0x21 <= code < 0x7F and code not in b'"%\\' else ord("a") for code in range(256)
)
"""By this table all characters stay that stand for themselves in a path as in JSON, and no others:
by such a table it is told in half the time that it takes to drop them."""
_NINE = ord("9")
_REMEMBERED = 4096
"""Paths above keys that are kept encoded: eight megabytes at the most."""
_SAFE_INTEGER_DIGITS = 17  # more digits, leading zeros aside, are beyond 2^53


def parse_key_path(path: str) -> Key:
    """The key of a key path. Empty segments vanish.

    Raises `InvalidInput` when no segment or more than 20 are left, when one is longer than 1024
    UTF-16 code units, or when it is not UTF-8 once decoded.
    """
    segments = [segment for segment in path.split("/") if segment]
    if not segments:
        raise InvalidInput("Key path cannot be empty")
    if len(segments) > MAX_KEY_PARTS:
        raise InvalidInput(f"Key path too deep (max {MAX_KEY_PARTS} parts)")
    return tuple([_parse_segment(segment) for segment in segments])


def encode_key_path(path: bytes) -> tuple[bytes, str]:
    """The binary form and the JSON text of the key that a path in latin-1 says.

    As `encode_key` and `key_to_json` of `parse_key_path`, of which it raises the errors; in one
    step where nothing is percent-encoded.
    """
    above, _, last = path.rpartition(b"/")
    if last and len(path) <= _SURELY_SHORT and last.translate(_PLAIN) == last:
        begun = _encode_above(above)
        if begun is not None:
            encoded, text = begun
            if last[0] > _NINE:
                return b"%b\x02%b\0" % (encoded, last), f'{text}"{last.decode()}"]'
            if len(last) < _SURELY_SAFE_DIGITS and last.isdigit():
                number = int(last)
                return encoded + encode_number(number), f"{text}{number}]"
    key = parse_key_path(path.decode("latin-1"))
    return encode_key(key), key_to_json(key)


# Keys that are used together mostly differ in their last part only.
@lru_cache(maxsize=_REMEMBERED)
def _encode_above(path: bytes) -> tuple[bytes, str] | None:
    """What the result of `encode_key_path` begins with for a key below a path, which may be empty.

    None for a path that is not plain, or leaves no room for another part.
    """
    encoded = []
    texts = [b"["]
    segments = path.split(b"/") if path else []
    if path.translate(_PLAIN) != path or len(segments) >= MAX_KEY_PARTS:
        return None
    for segment in segments:
        if not segment:
            return None
        if segment[0] > _NINE:
            encoded.append(b"\x02%b\0" % segment)
            texts.append(b'"%b",' % segment)
        elif len(segment) < _SURELY_SAFE_DIGITS and segment.isdigit():
            number = int(segment)
            encoded.append(encode_number(number))
            texts.append(b"%d," % number)
        else:
            return None
    return b"".join(encoded), b"".join(texts).decode()


def parse_key_text(text: str) -> Key:
    """The key of a query parameter: a JSON array if it parses as one, else a key path."""
    if text.startswith("["):
        try:
            raw = decode_json(text.encode())
        except (InvalidInput, UnicodeEncodeError):
            return parse_key_path(text)
        return check_key(raw)
    return parse_key_path(text)


def _parse_segment(segment: str) -> KeyPart:
    if "%" in segment:
        # A % that starts no valid sequence stays as it is.
        try:
            segment = unquote_to_bytes(segment).decode()
        except UnicodeDecodeError:
            raise InvalidInput(f"Key part is not valid UTF-8: {segment[:50]}") from None
    if (
        len(segment) * 2 > MAX_KEY_PART_LENGTH
        and len(segment.encode("utf-16-le", "surrogatepass")) // 2 > MAX_KEY_PART_LENGTH
    ):
        raise InvalidInput(f"Key part too long (max {MAX_KEY_PART_LENGTH} chars)")
    # The first character tells most texts from integers, and the length most integers from others.
    if segment[0] > "9":
        return segment
    if len(segment) < _SURELY_SAFE_DIGITS and segment.isascii() and segment.isdecimal():
        return int(segment)
    if _INTEGER.fullmatch(segment) and len(segment.lstrip("-0")) <= _SAFE_INTEGER_DIGITS:
        number = int(segment)
        if -MAX_SAFE_INTEGER <= number <= MAX_SAFE_INTEGER:
            return number
    return segment


def format_key_path(key: Sequence[KeyPart]) -> str | None:
    """The key path that parses to exactly this key, or None when no path does.

    No path says booleans, bigints, bytes, fractions, integers beyond ±(2^53 - 1), or strings that
    look like integers.
    """
    segments = []
    for part in key:
        if isinstance(part, (bool, BigInt, float, bytes)) or part == "":
            return None
        segment = quote(str(part), safe="")
        if _parse_segment(segment) != part:
            return None
        segments.append(segment)
    return "/".join(segments)


def format_key_text(key: Sequence[KeyPart]) -> str:
    """A key as a query parameter: its path where there is one, else its JSON text."""
    path = format_key_path(key)
    return key_to_json(key) if path is None else path
