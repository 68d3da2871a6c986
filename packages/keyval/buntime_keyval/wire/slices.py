"""Large JSON texts, read a slice at a time, so that nobody has to wait for the whole of one.

A text is cut behind commas, whatever is open around them. A slice is made a text of its own: the
arrays and objects that are open where it begins are opened before it, those that are open where
it ends are closed behind it, and a mark stands at both ends in the place of what is elsewhere.

    ["a",{"b":[1,2,    is read as    [["a",{"b":[1,2,MARK]}]]
    3],"c":4}]         is read as    [[{FIRST:[MARK,3],"c":4}]]

So the decoder checks all of the syntax, and what it gives are the members that the slice adds to
each of the containers that are open at one of its ends. A `Frame` for each of these is told.
"""

from __future__ import annotations

import re
import secrets
from array import array
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple, Protocol

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_VALUE_DEPTH
from buntime_keyval.wire.long_texts import decode_long_steps
from buntime_keyval.wire.values import decode_levels, too_deep

SLICE = 32 * 1024
"""Bytes that are read at a time, but for a member that is longer: a few milliseconds of work."""

Steps = Generator[None, None, Any]
"""Work in steps, between which others may run; it returns its result."""

_FIRST, _LAST, _MARK, _LONG = (secrets.token_hex(16) for _ in range(4))
"""Names and texts that nobody else knows, so that no body has them."""

# Of a text without escaped quotes. Possessive, so that nothing is tried twice.
_BEFORE_COMMA = rb'[^",]*+(?:"[^"]*+"[^",]*+)*+'
_NO_COMMA = re.compile(_BEFORE_COMMA)
_MEMBERS = re.compile(rb"(?:%b,)*+" % _BEFORE_COMMA)
_STRING = re.compile(rb'"[^"]*+"')
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_AS_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""What each bracket adds to the depth, as a signed byte."""
_CLOSING = {"[": "]", "{": "}"}
_MASKED_AT_ONCE = 8 * SLICE


class Frame(Protocol):
    """An array or object that goes on over several slices; what it makes of them is its business.

    `kind` is `[` or `{`, a `name` is that of a member of an object and None in an array.
    """

    def child(self, kind: str, name: str | None) -> Frame:
        """The frame of a member that goes on over several slices."""

    def add(self, members: Any) -> None:
        """Take further members, a list or a dict."""

    def put(self, name: str | None, result: Any) -> None:
        """Take the result of the frame of a member."""

    def close(self) -> Steps:
        """Make its result, now that it has all of its members."""


class _Open(NamedTuple):
    kind: str
    name: str | None
    frame: Frame


class Slice(NamedTuple):
    """A slice as it was read, with what goes around it so that it is whole."""

    text: bytes
    value: Any
    frames: Sequence[Frame]
    """Of what goes around it, from the outer to the inner."""
    is_first: bool
    size: int
    """Bytes of the body that are in it."""
    is_long: bool
    """Whether it is one member that is longer than a slice usually is."""
    quotes: int
    """How many of the text begin or end a name or a text."""

    def levels(self) -> Iterator[tuple[Frame, bool]]:
        """These frames; and whether what is there in the text begins with something else.

        That is the next inner one, or the mark in the innermost.
        """
        for number, frame in enumerate(self.frames, 1):
            yield frame, number < len(self.frames) or not self.is_first


def read_slices(
    body: bytes, root: Frame, look: Callable[[Slice], None] | None = None, around: int = 0
) -> Steps:
    """Read a text into the frame of an array, whose only item it is; the result is that frame's.

    `look` sees each slice before its frames do; `around` is as in `decode_json`. Raises
    `InvalidInput` as that does, and whatever frames and `look` raise.
    """
    masked = yield from _without_escapes(body)
    open_ = [_Open("[", None, _Single(root))]
    start = 0
    while start < len(body) or not start:
        end = yield from _find_end(masked, start)
        yield from _read_slice(open_, body, masked, start, end, look, MAX_VALUE_DEPTH + around)
        start = end
        yield
    return (yield from open_[0].frame.close())


class _Single:
    """The `Frame` around a text, which has exactly one item."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame
        self._items = 0

    def child(self, kind: str, name: str | None) -> Frame:
        return self._frame.child(kind, name)

    def add(self, members: list[Any]) -> None:
        self._count(len(members))
        self._frame.add(members)

    def put(self, name: str | None, result: Any) -> None:
        self._count(1)
        self._frame.put(name, result)

    def close(self) -> Steps:
        if not self._items:
            raise _invalid()
        return (yield from self._frame.close())

    def _count(self, items: int) -> None:
        self._items += items
        if self._items > 1:
            raise _invalid()


def _without_escapes(body: bytes) -> Generator[None, None, bytes]:
    """The text with other characters in the places of escaped backslashes and quotes."""
    if b"\\" not in body:
        return body
    pieces = []
    start = 0
    while start < len(body):
        piece = body[start : start + _MASKED_AT_ONCE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2 and start + len(piece) < len(body):
            piece = piece[:-1]  # what this one escapes is in the next piece
        pieces.append(piece.replace(b"\\\\", b"--").replace(b'\\"', b"--"))
        start += len(piece)
        yield
    return b"".join(pieces)


def _find_end(masked: bytes, start: int) -> Generator[None, None, int]:
    """Where the slice that begins at `start` ends: behind a comma, or with the text."""
    if len(masked) - start <= SLICE:
        return len(masked)
    members = _MEMBERS.match(masked, start, start + SLICE)
    if members is not None and members.end() > start:
        return members.end()
    place = start
    while place < len(masked):
        before = _NO_COMMA.match(masked, place, place + SLICE)
        place = len(masked) if before is None else before.end()
        if masked[place : place + 1] == b",":
            return place + 1
        if masked[place : place + 1] == b'"':  # of a text that is longer
            place = masked.find(b'"', place + 1) + 1 or len(masked)
        yield
    return len(masked)


def _read_slice(
    open_: list[_Open],
    body: bytes,
    masked: bytes,
    start: int,
    end: int,
    look: Callable[[Slice], None] | None,
    levels: int,
) -> Generator[None, None, None]:
    """Tell the frames what is between `start` and `end`."""
    is_long = end - start > SLICE
    between = masked[start:end]
    closed, opened = _unmatched(between, levels, is_long=is_long)
    if is_long:
        yield
    is_last = end == len(body)
    depth = len(open_) - len(closed)  # what is open at both ends
    if (
        depth < 1
        or [_CLOSING[one.kind] for one in reversed(open_[depth:])] != closed
        or (is_last and (opened or depth > 1))
    ):
        raise _invalid()
    around = open_[depth - 1 :]
    opening = _opening(around, is_first=not start)
    closing = _closing([around[0].kind, *opened], is_last=is_last)
    inside = body[start:end]
    text = b"%b%b%b" % (opening, inside, closing)
    levels += 2 - depth  # the outermost array is not in the text
    if is_long:
        value = yield from decode_long_steps(opening, inside, closing, between, levels, _LONG)
        yield
    else:
        value = decode_levels(text, levels)
    if look is not None:
        quotes = sum(part.count(b'"') for part in (opening, between, closing))
        frames = [one.frame for one in around]
        look(Slice(text, value, frames, not start, end - start, is_long, quotes))
    ended = _take_ended(value, around, is_first=not start)
    begun = [] if is_last else _take_begun(value, opened)
    for members in reversed(ended):
        _, name, frame = open_.pop()
        frame.add(members)
        open_[-1].frame.put(name, (yield from frame.close()))
    open_[-1].frame.add(value)
    for kind, (name, members) in zip(opened, begun, strict=True):
        frame = open_[-1].frame.child(kind, name)
        frame.add(members)
        open_.append(_Open(kind, name, frame))


def _unmatched(masked: bytes, levels: int, *, is_long: bool) -> tuple[list[str], list[str]]:
    """The brackets of a slice that close what was open before it, and those that it leaves open."""
    # As one member, a long one has a text at the most, behind a name for each of its levels.
    if is_long and masked.count(b'"') > 2 * (levels + 1):
        raise too_deep()
    brackets = _STRING.sub(b"", masked).translate(None, _NOT_BRACKETS)
    if is_long and len(brackets) > 2 * (levels + 1):
        raise too_deep()
    # Most are pairs of few levels. Where they are not, that is of no use.
    size = 3 * len(brackets)
    while 2 * len(brackets) < size:
        size = len(brackets)
        brackets = brackets.replace(b"[]", b"").replace(b"{}", b"")
    # Whether a bracket closes one of its kind is for the decoder to say.
    depths = array("i", accumulate(array("b", brackets.translate(_AS_STEPS)), initial=0))
    last = depths[-1]
    lowest = min(depths)
    closed = []
    place = 0
    for depth in range(-1, lowest - 1, -1):
        place = depths.index(depth, place)
        closed.append(chr(brackets[place - 1]))
    opened = []
    depths.reverse()
    place = 0
    for depth in range(last - 1, lowest - 1, -1):
        place = depths.index(depth, place)
        opened.append(chr(brackets[-place]))
    opened.reverse()
    return closed, opened


def _opening(around: list[_Open], *, is_first: bool) -> bytes:
    """What goes before a slice: the containers around its beginning."""
    text = [f'{{"{_FIRST}":' if one.kind == "{" else "[" for one in around]
    if not is_first:
        text.append(f'"{_MARK}",')
    return "".join(text).encode()


def _closing(kinds: list[str], *, is_last: bool) -> bytes:
    """What goes behind a slice: the ends of the containers around its end."""
    text = [_CLOSING[kind] for kind in reversed(kinds)]
    if not is_last:
        text.insert(0, f'"{_LAST}":"{_MARK}"' if kinds[-1] == "{" else f'"{_MARK}"')
    return "".join(text).encode()


def _take_ended(value: Any, around: list[_Open], *, is_first: bool) -> list[Any]:
    """Take the containers that end in a slice out of what was read, from the outer to the inner."""
    ended = []
    container = value
    for one in around[1:]:
        container = container.pop(_FIRST if isinstance(container, dict) else 0)
        ended.append(container)
        assert one.kind == ("{" if isinstance(container, dict) else "[")  # noqa: S101 - as it was opened
    if not is_first:
        container.pop(_FIRST if isinstance(container, dict) else 0)
    return ended


def _take_begun(value: Any, opened: list[str]) -> list[tuple[str | None, Any]]:
    """The same of the containers that begin in it, with their names."""
    path = _path_to_end(value, len(opened))
    if path is None:
        raise _invalid()
    begun: list[tuple[str | None, Any]] = []
    container = value
    for name in path:
        container = container.pop(-1 if name is None else name)
        begun.append((name, container))
    container.pop(_LAST if isinstance(container, dict) else -1)
    return begun


def _path_to_end(container: Any, levels: int) -> list[str | None] | None:
    """The names on the way to the mark at the end of a slice, so many levels below.

    It is in the last member everywhere, but for an object that had the name of that one before.
    """
    if not levels:
        is_end = _LAST in container if isinstance(container, dict) else container[-1:] == [_MARK]
        return [] if is_end else None
    members: Iterable[tuple[str | None, Any]]
    if isinstance(container, dict):
        members = reversed(container.items())
    else:
        members = [(None, item) for item in container[-1:]]
    for name, member in members:
        if isinstance(member, (list, dict)):
            path = _path_to_end(member, levels - 1)
            if path is not None:
                return [name, *path]
    return None


def _invalid() -> InvalidInput:
    return InvalidInput("Invalid JSON body")
