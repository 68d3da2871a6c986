"""Keys: validation, JSON form, and the binary encoding that sorts like the keys themselves.

A key is a tuple of 1 to 20 parts. Types sort bytes < string < number < bigint < boolean; within
a type bytes sort bytewise, strings by their UTF-8 bytes, numbers and bigints by value and false
before true. A key sorts before every key that extends it.

Each part is encoded as a tag and a payload that says itself where it ends:

    01 bytes    data with every 00 as 00 FF, then 00
    02 string   UTF-8, escaped and ended like bytes
    03 number   8 bytes, big-endian double; sign bit flipped if ≥ 0, else all bits
    04 bigint   01 (negative) or 02, length of the magnitude in 2 bytes, magnitude; length and
                magnitude complemented if negative
    05 boolean  01 false, 02 true

So the descendants of a prefix P are exactly the encodings that lie strictly between enc(P) and
enc(P) + FF: a descendant goes on with a tag, while a longer string in P's place goes on with FF.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from buntime_keyval.wire.binary import BYTES_TYPE, foreign_bytes, tag_bytes, untag_bytes
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import (
    MAX_KEY_PART_LENGTH,
    MAX_KEY_PARTS,
    MAX_KEYS_PER_BATCH,
    MAX_SAFE_INTEGER,
)
from buntime_keyval.wire.numbers import (
    TYPE_MEMBER,
    BigInt,
    is_tagged_bigint,
    normal_integer,
    plain_number,
    tag_bigint,
)

KeyPart = bytes | str | int | float | bool
Key = tuple[KeyPart, ...]
KeyLike = Sequence[KeyPart | UUID | datetime]
"""A key as callers write it: a list or tuple of parts; see `check_key` for UUIDs and times."""

KeyOrKeys = Sequence[KeyPart | UUID | datetime | KeyLike]
"""A key, or several of them: as one type, since type checkers cannot choose between two lists."""

_TYPES = "(string | number | bigint | boolean | Uint8Array)"
_EXAMPLE = 'for example ["users", 123]'
_SURELY_SHORT = MAX_KEY_PART_LENGTH // 2
"""Only a text of more characters can have too many UTF-16 code units."""
_MAX_BIGINT_LENGTH = len(str(-(256**MAX_KEY_PART_LENGTH)))
"""Length of the decimal text of a bigint that may be small enough."""
_DOUBLE = struct.Struct(">d")
_TAGGED_DOUBLE = struct.Struct(">Bd")
_BYTES, _STRING, _NUMBER, _BIGINT, _BOOLEAN = 1, 2, 3, 4, 5
_SIGN_BIT = 0x80
_ALL_BITS = bytes(range(255, -1, -1))
_AS_JSON = frozenset({str, int, float, bool})
"""Types of parts that are JSON as they are; `BigInt`, a subclass of `int`, is not among them."""
_encode_json = msgspec.json.encode


class Placeholder:
    """A part of a key or value that becomes the versionstamp of the commit which writes it."""

    def __repr__(self) -> str:
        return "UUIDV7"


UUIDV7: Final = Placeholder()
"""The placeholder; all of one commit become the same text."""


def check_key(raw: object, *, placeholders: bool = False) -> Key:
    """The key that a decoded JSON array, or a list or tuple of Python values, stands for.

    Integral floats become integers, tagged bigints and bytes become `BigInt` and `bytes`. A
    `UUID` becomes its text, an aware `datetime` the text of its UTC time with microseconds and
    `Z`, so that texts sort as times.
    `placeholders` allows `UUIDV7` and its JSON forms, `{"$uuidv7": true}` and
    `{"__type": "uuidv7"}`.

    Raises `InvalidInput` in the words of the contract (section 1.6).
    """
    if not isinstance(raw, (list, tuple)):
        raise InvalidInput(f"Key must be an array of {_TYPES}, received {describe(raw)}")
    if not raw:
        raise InvalidInput(f"Key cannot be empty, {_EXAMPLE}")
    if len(raw) > MAX_KEY_PARTS:
        raise InvalidInput(
            f"Key too deep: {len(raw)} parts (max {MAX_KEY_PARTS}). Join parts or use a flatter key"
        )
    return tuple(
        [
            part
            if (type(part) is str and len(part) <= _SURELY_SHORT)
            or (type(part) is int and -MAX_SAFE_INTEGER <= part <= MAX_SAFE_INTEGER)
            else _check_part(part, index, placeholders)
            for index, part in enumerate(raw)
        ]
    )


def check_keys(raw: object) -> list[Key]:
    """The keys of a batch: 1 to 1000 of them. Raises `InvalidInput`."""
    if not isinstance(raw, (list, tuple)):
        kind = describe(raw).partition(":")[0]
        raise InvalidInput(f"Keys must be an array of key arrays, received {kind}")
    if not raw:
        raise InvalidInput('Keys array cannot be empty, for example [["users", 1], ["users", 2]]')
    if len(raw) > MAX_KEYS_PER_BATCH:
        raise InvalidInput(f"Too many keys: {len(raw)} (max {MAX_KEYS_PER_BATCH})")
    keys: list[Key] = []
    for key in raw:
        if type(key) is list and 0 < len(key) <= MAX_KEY_PARTS:
            for part in key:
                if not (
                    (type(part) is str and len(part) <= _SURELY_SHORT)
                    or (type(part) is int and -MAX_SAFE_INTEGER <= part <= MAX_SAFE_INTEGER)
                ):
                    break
            else:  # as nearly all are: a call for each would take twice the time
                keys.append(tuple(key))
                continue
        try:
            keys.append(check_key(key))
        except InvalidInput as error:
            raise InvalidInput(f"Invalid key at index {len(keys)}: {error}") from None
    return keys


def _check_part(part: Any, index: int, placeholders: bool) -> Any:
    if isinstance(part, str):
        if len(part) > _SURELY_SHORT:
            length = len(part.encode("utf-16-le", "surrogatepass")) // 2
            if length > MAX_KEY_PART_LENGTH:
                raise InvalidInput(
                    f"Key part at index {index} too long: {length} chars "
                    f"(max {MAX_KEY_PART_LENGTH})"
                )
        return part
    if isinstance(part, bool):
        return part
    if isinstance(part, BigInt):
        size = (part.bit_length() + 7) // 8
        _check_size(size, index)
        return part
    if isinstance(part, int):
        if -MAX_SAFE_INTEGER <= part <= MAX_SAFE_INTEGER:
            return part
        return _check_number(part, index)
    if isinstance(part, float):
        return _check_number(part, index)
    if isinstance(part, (bytes, bytearray, memoryview)):
        _check_size(len(part), index)
        return bytes(part)
    if isinstance(part, dict):
        if is_tagged_bigint(part):
            return _check_bigint(part.get("value"), index)
        if part.get(TYPE_MEMBER) == BYTES_TYPE:
            return _check_part(untag_bytes(part), index, placeholders)
        if part.get("$uuidv7") is True or part.get(TYPE_MEMBER) == "uuidv7":
            part = UUIDV7
        elif (data := foreign_bytes(part)) is not None:
            return _check_part(data, index, placeholders)
    if isinstance(part, UUID):
        return str(part)
    if isinstance(part, datetime):
        return _time_text(part, index)
    if part is UUIDV7:
        if placeholders:
            return part
        raise InvalidInput(
            f"Invalid key part at index {index}: a uuidv7 placeholder is allowed only in the key "
            "of an atomic mutation"
        )
    raise InvalidInput(
        f"Invalid key part at index {index}: expected {_TYPES}, received {describe(part)}"
    )


def _check_bigint(text: object, index: int) -> BigInt:
    digits = normal_integer(text)
    if len(digits) > _MAX_BIGINT_LENGTH:  # before a conversion
        raise InvalidInput(
            f"Key part at index {index} too large: a bigint of {len(digits.lstrip('-'))} digits "
            f"(max {MAX_KEY_PART_LENGTH} bytes)"
        )
    number = BigInt(digits)
    _check_size((number.bit_length() + 7) // 8, index)
    return number


def _check_number(part: int | float, index: int) -> int | float:
    """A number part is a double, as in JavaScript."""
    try:
        number = float(part)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InvalidInput(
            f"Invalid key part at index {index}: a number must be finite, received {part!r:.50}"
        )
    return plain_number(number)


def _time_text(part: datetime, index: int) -> str:
    if part.utcoffset() is None:
        raise InvalidInput(f"Invalid key part at index {index}: a datetime needs a time zone")
    return part.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def _check_size(size: int, index: int) -> None:
    if size > MAX_KEY_PART_LENGTH:
        raise InvalidInput(
            f"Key part at index {index} too large: {size} bytes (max {MAX_KEY_PART_LENGTH})"
        )


def encode_key(key: Sequence[KeyPart]) -> bytes:
    """The binary form of a checked key; also of an empty prefix, which is no bytes at all.

    Raises `InvalidInput` for a text with a lone surrogate, which UTF-8 cannot hold.
    """
    encoded = []
    try:
        for part in key:
            if type(part) is str:
                data = part.encode()
                if 0 in data:
                    data = data.replace(b"\0", b"\0\xff")
                encoded.append(b"\x02%b\0" % data)
            elif type(part) is int and part >= 0:
                encoded.append(_TAGGED_DOUBLE.pack(_NUMBER, -float(part)))  # as `encode_number`
            else:
                encoded.append(_encode_uncommon(part))
    except UnicodeEncodeError:
        raise InvalidInput("Key part holds a lone surrogate, which is not text") from None
    return b"".join(encoded)


def encode_keys(keys: Iterable[Sequence[KeyPart]]) -> list[bytes]:
    """The binary forms of checked keys, which mostly begin alike. Raises as `encode_key`."""
    texts: dict[str, bytes] = {}
    encoded = []
    for key in keys:
        parts = []
        for part in key:
            if type(part) is str:
                code = texts.get(part)
                if code is None:
                    code = texts[part] = encode_key((part,))
            elif type(part) is int and part >= 0:
                code = _TAGGED_DOUBLE.pack(_NUMBER, -float(part))  # as `encode_number`
            else:
                code = _encode_uncommon(part)
            parts.append(code)
        encoded.append(b"".join(parts))
    return encoded


def _encode_uncommon(part: KeyPart) -> bytes:
    if isinstance(part, bool):
        return b"\x05\x02" if part else b"\x05\x01"
    if isinstance(part, BigInt):
        return b"\x04" + _encode_bigint(part)
    if isinstance(part, bytes):
        return b"\x01%b\0" % part.replace(b"\0", b"\0\xff")
    if isinstance(part, str):
        return b"\x02%b\0" % part.encode().replace(b"\0", b"\0\xff")
    return encode_number(part)


def encode_number(value: int | float) -> bytes:
    """The binary form of a key part that is a number."""
    if value >= 0:
        # The bits of -x are those of x but for the sign; `or 0` takes it from negative zero.
        return _TAGGED_DOUBLE.pack(_NUMBER, -float(value or 0))
    return b"\x03" + _DOUBLE.pack(value).translate(_ALL_BITS)


def _encode_bigint(value: int) -> bytes:
    magnitude = abs(value).to_bytes((value.bit_length() + 7) // 8, "big")
    body = len(magnitude).to_bytes(2, "big") + magnitude
    return b"\x01" + body.translate(_ALL_BITS) if value < 0 else b"\x02" + body


def decode_key(encoded: bytes) -> Key:
    """The key of its binary form. Raises `InvalidInput` for bytes that no key encodes to."""
    parts: list[KeyPart] = []
    position, end = 0, len(encoded)
    try:
        while position < end:
            tag = encoded[position]
            position += 1
            if tag in (_STRING, _BYTES):
                stop = _find_end(encoded, position)
                data = encoded[position:stop].replace(b"\0\xff", b"\0")
                parts.append(data.decode() if tag == _STRING else data)
                position = stop + 1
            elif tag == _NUMBER:
                parts.append(_decode_number(encoded, position))
                position += 8
            elif tag == _BIGINT:
                number, position = _decode_bigint(encoded, position)
                parts.append(number)
            elif tag == _BOOLEAN and encoded[position] in (1, 2):
                parts.append(encoded[position] == 2)
                position += 1
            else:
                raise ValueError(f"unknown tag {tag}")
        if position != end or not parts:
            raise ValueError("the last part is cut off")
    except (ValueError, IndexError, struct.error) as error:
        raise InvalidInput(f"These bytes are not an encoded key: {error}") from None
    return tuple(parts)


def part_ends(encoded: bytes) -> list[int]:
    """Where the parts of a valid encoded key end; the prefixes of a key are `key[:end]`."""
    ends: list[int] = []
    position = 0
    while position < len(encoded):
        position = part_end(encoded, position)
        ends.append(position)
    return ends


def part_end(encoded: bytes, position: int) -> int:
    """Where the part of a valid encoded key ends that begins at a position."""
    tag = encoded[position]
    if tag in (_STRING, _BYTES):
        return _find_end(encoded, position + 1) + 1
    if tag == _NUMBER:
        return position + 9
    if tag == _BOOLEAN:
        return position + 2
    return _decode_bigint(encoded, position + 1)[1]


def _find_end(encoded: bytes, start: int) -> int:
    """Position of the 00 that ends a part, not of one that is escaped by FF."""
    stop = encoded.index(0, start)
    while encoded[stop + 1 : stop + 2] == b"\xff":
        stop = encoded.index(0, stop + 2)
    return stop


def _decode_number(encoded: bytes, position: int) -> int | float:
    if encoded[position] & _SIGN_BIT:  # the bits of -x: whatever they say has no other form
        number: float = -_DOUBLE.unpack_from(encoded, position)[0]
        is_form = 0 <= number < math.inf
    else:
        number = _DOUBLE.unpack(encoded[position : position + 8].translate(_ALL_BITS))[0]
        is_form = -math.inf < number < 0
    if not is_form:
        raise ValueError("the number is not finite, or zero with a sign")
    return plain_number(number)


def _decode_bigint(encoded: bytes, position: int) -> tuple[BigInt, int]:
    negative = encoded[position] == 1
    length_bytes = encoded[position + 1 : position + 3]
    if negative:
        length_bytes = length_bytes.translate(_ALL_BITS)
    start = position + 3
    end = start + int.from_bytes(length_bytes, "big")
    if end > len(encoded):
        raise ValueError("the bigint is cut off")
    magnitude = encoded[start:end]
    if negative:
        number = -int.from_bytes(magnitude.translate(_ALL_BITS), "big")
    else:
        number = int.from_bytes(magnitude, "big")
    if _encode_bigint(number) != encoded[position:end]:
        raise ValueError("the bigint has no sign, is padded, or is zero with a sign")
    return BigInt(number), end


def key_to_json(key: Sequence[KeyPart | Placeholder]) -> str:
    """The JSON text of a checked key; bigints and bytes tagged, integral numbers without `.0`."""
    if _AS_JSON.issuperset(map(type, key)):
        return _encode_json(key).decode()
    return _encode_json([_part_to_json(part) for part in key]).decode()


def _part_to_json(part: KeyPart | Placeholder) -> Any:
    if isinstance(part, BigInt):
        return tag_bigint(part)
    if isinstance(part, bytes):
        return tag_bytes(part)
    return {"$uuidv7": True} if part is UUIDV7 else part
