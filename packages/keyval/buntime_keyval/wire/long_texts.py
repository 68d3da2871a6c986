"""Long texts in JSON, decoded and encoded a piece at a time."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import msgspec

from buntime_keyval.wire.values import decode_long

PIECE = 128 * 1024
"""Characters that are decoded or encoded at a time: one or two milliseconds of work."""

_ESCAPE = re.compile(rb"\\(?:u[dD][89abAB]..\\u....|u....|.)?", re.DOTALL)
"""What begins with a backslash and is one character, other than a quote or a backslash."""
_MOST_ESCAPED = 12
"""Bytes of that."""
_CONTINUATION = bytes(range(0x80, 0xC0))
"""What goes on with a character of several bytes."""
_encode = msgspec.json.encode

Part = bytes | str
"""A piece of JSON, or a text that is to become one."""


def is_long(text: str) -> bool:
    """Whether a text is not encoded at once."""
    return len(text) > PIECE


def encoded_steps(parts: Sequence[Part]) -> Generator[None, None, list[bytes]]:
    """The same with each text as JSON, in steps."""
    encoded = []
    for part in parts:
        if isinstance(part, bytes):
            encoded.append(part)
            continue
        encoded.append(b'"')
        for start in range(0, len(part), PIECE):
            encoded.append(_encode(part[start : start + PIECE])[1:-1])
            yield
        encoded.append(b'"')
    return encoded


def decode_long_steps(
    opening: bytes, text: bytes, closing: bytes, masked: bytes, levels: int, mark: str
) -> Generator[None, None, Any]:
    """`decode_long` of a text with something around it, in steps.

    `masked` is the text without escaped quotes and backslashes. Of `mark`, which is in no text,
    the names of those are made that stand for long texts meanwhile.
    """
    kept, texts = yield from _without_long(text, masked, mark)
    value = decode_long(b"%b%b%b" % (opening, kept, closing), levels)
    return _put_back(value, texts) if texts else value


def _without_long(
    text: bytes, masked: bytes, mark: str
) -> Generator[None, None, tuple[bytes, dict[str, str]]]:
    """A text without its long names and texts, and what stands for each of them.

    Nothing is taken out where all is ASCII without escapes, which takes no time.
    """
    texts: dict[str, str] = {}
    kept: list[bytes] = []
    done = end = 0
    if b"\\" in text or not text.isascii():
        while (start := masked.find(b'"', end)) >= 0:
            end = masked.find(b'"', start + 1) + 1
            if not end:
                break  # which the decoder refuses
            if end - start > PIECE:
                name = f"{mark}{len(texts)}"
                texts[name] = yield from _decode_text(text, masked, start + 1, end - 1)
                kept += text[done:start], _encode(name)
                done = end
    return (b"".join([*kept, text[done:]]) if kept else text), texts


def _decode_text(text: bytes, masked: bytes, start: int, end: int) -> Generator[None, None, str]:
    """What is between two quotes. Raises `InvalidInput` as the decoder of all of it would."""
    pieces = []
    while start < end:
        cut = end if end - start <= PIECE else _boundary(text, masked, start, start + PIECE)
        pieces.append(decode_long(b'"%b"' % text[start : min(cut, end)], 1))
        start = cut
        yield
    return "".join(pieces)


def _boundary(text: bytes, masked: bytes, start: int, place: int) -> int:
    """The first place from `place` on where no character is cut; at `start` none is."""
    window = max(start, place - _MOST_ESCAPED + 1), place + _MOST_ESCAPED
    for escape in _ESCAPE.finditer(masked, *window):
        if escape.start() >= place:
            break
        start = escape.end()
    if start >= place:
        return start
    backslashes = place - start - len(text[start:place].rstrip(b"\\"))
    place += backslashes % 2  # the last one escapes what follows
    rest = text[place : place + 3]
    return place + len(rest) - len(rest.lstrip(_CONTINUATION))


def _put_back(value: Any, texts: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {texts.get(name, name): _put_back(item, texts) for name, item in value.items()}
    if isinstance(value, list):
        return [_put_back(item, texts) for item in value]
    return texts.get(value, value) if isinstance(value, str) else value
