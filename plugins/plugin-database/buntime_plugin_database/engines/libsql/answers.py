"""Answers of servers, decoded in turns with others where they are long.

The decoder holds Python's lock until it is done: for ten megabytes of quotes, each of which comes
as two bytes, a tenth of a second. So long texts and groups of rows are cut out of an answer and
decoded one after the other. They are replaced by numbers in a form that no answer has, and the
decoder asks for their meaning when it comes to them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

PIECE = 128 * 1024
"""Bytes that are decoded at once."""

LONG_ANSWER = 4 * PIECE
"""Bytes from which an answer is decoded in turns."""
_BETWEEN_ROWS = b"],["
_TRIES = 8
"""Places between rows that are looked at in a piece: in a text there may be thousands of them."""
_PAIR = 12
"""Bytes of the longest escape, that of a character beyond the first 65,536: it has two halves."""
_FIRST_HALVES = {b"\\ud8", b"\\ud9", b"\\uda", b"\\udb"}

_decode = msgspec.json.decode


class RowGroup(list[Any]):
    """Rows of a result, in the place of one."""


def each_row(rows: Iterable[Any]) -> Iterator[Any]:
    """The rows of a result, those of groups one by one."""
    for row in rows:
        if type(row) is RowGroup:
            yield from row
        else:
            yield row


async def decode_answer(content: bytes) -> Any:
    """A JSON text; where it is long, some rows of its results are in a `RowGroup`.

    Raises `msgspec.DecodeError` and `UnicodeDecodeError`.
    """
    if len(content) <= LONG_ANSWER:
        return _decode(content)
    places = await _places_in(content)
    cuts = _Cuts()
    for text in places.texts:
        cuts.add(text, await _text_in(content, text))
    done = 0
    rest: list[bytes] = []
    for group in places.groups:
        within = cuts.applied(content, group)
        try:
            rows = RowGroup(cuts.decode(b"[%b]" % within))
        except msgspec.DecodeError:
            continue  # it begins in the rows of one result, and ends in those of another
        rest.append(cuts.applied(content, Span(done, group.start)))
        rest.append(cuts.name(rows))
        done = group.end
        await asyncio.sleep(0)
    rest.append(cuts.applied(content, Span(done, len(content))))
    return cuts.decode(b"".join(rest))


class Span(NamedTuple):
    """A part of an answer."""

    start: int
    end: int


class _Places(NamedTuple):
    texts: list[Span]
    """Long texts with their quotes."""
    groups: list[Span]
    """From one place between rows to a later one."""


async def _places_in(content: bytes) -> _Places:
    """The parts that can be cut out of an answer, in order."""
    places = _Places([], [])
    is_within_text = is_escaped = False
    opening = 0
    boundary: int | None = None
    for start in range(0, len(content), PIECE):
        piece = _without_escapes(content[start : start + PIECE], is_escaped=is_escaped)
        is_escaped = piece.endswith(b"\\")
        quotes = piece.count(b'"')
        if is_within_text and quotes:
            closing = start + piece.index(b'"') + 1
            if closing - opening > PIECE:
                places.texts.append(Span(opening, closing))
        found = _between_rows(piece, is_within_text=is_within_text)
        if found is not None:
            if boundary is not None:
                places.groups.append(Span(boundary + 1, start + found))
            boundary = start + found
        if quotes:
            opening = start + piece.rindex(b'"')
        is_within_text ^= quotes % 2 == 1
        await asyncio.sleep(0)
    return places


def _without_escapes(piece: bytes, *, is_escaped: bool) -> bytes:
    """The piece, of the same length, with all quotes within texts hidden.

    A backslash at its end escapes a character of the next piece.
    """
    if is_escaped:
        piece = b"_" + piece[1:]
    if b"\\" not in piece:
        return piece
    return piece.replace(b"\\\\", b"__").replace(b'\\"', b"__")


def _between_rows(piece: bytes, *, is_within_text: bool) -> int | None:
    """Position of a comma between two rows, if one is found."""
    place = -1
    for _ in range(_TRIES):
        place = piece.find(_BETWEEN_ROWS, place + 1)
        if place < 0:
            return None
        if piece.count(b'"', 0, place) % 2 == is_within_text:
            return place + 1
    return None


async def _text_in(content: bytes, span: Span) -> str:
    """The text of a long JSON string."""
    pieces = []
    start, end = span.start + 1, span.end - 1
    while start < end:
        stop = min(start + PIECE, end)
        if stop < end:
            stop = start + _whole_characters(content[start:stop], content[stop])
        pieces.append(_decode(b'"%b"' % content[start:stop], type=str))
        start = stop
        await asyncio.sleep(0)
    return "".join(pieces)


def _whole_characters(piece: bytes, following: int) -> int:
    """The length of the part of a string's piece that ends with a whole character."""
    hidden = piece.replace(b"\\\\", b"__")
    escape = hidden.find(b"\\", len(hidden) - _PAIR)
    if escape >= 0:
        # The one before it may be the first half of a character.
        half = escape - _PAIR // 2
        return half if hidden[half : half + 4].lower() in _FIRST_HALVES else escape
    end = len(piece)
    while following & 0xC0 == 0x80:
        end -= 1
        following = piece[end]
    return end


class _Cuts:
    """The parts that were cut out of an answer, by the numbers that replace them."""

    def __init__(self) -> None:
        self._meanings: dict[str, Any] = {}
        self._spans: list[tuple[Span, bytes]] = []
        self.decode = msgspec.json.Decoder(float_hook=self._meaning).decode

    def name(self, meaning: Any) -> bytes:
        """The number that stands for something."""
        name = f"0e-{len(self._meanings):09}"
        self._meanings[name] = meaning
        return name.encode()

    def add(self, span: Span, meaning: Any) -> None:
        """Something stands for this part; parts are added in order."""
        self._spans.append((span, self.name(meaning)))

    def applied(self, content: bytes, part: Span) -> bytes:
        """A part of the answer, with numbers in the places of those that are within it."""
        pieces = []
        done = part.start
        for span, name in self._spans:
            if span.start >= part.start and span.end <= part.end:
                pieces += [content[done : span.start], name]
                done = span.end
        return b"".join([*pieces, content[done : part.end]])

    def _meaning(self, number: str) -> Any:
        meaning = self._meanings.get(number)
        return float(number) if meaning is None else meaning
