"""Large bodies, read a slice at a time.

Values become canonical text at once, and items of a commit become mutations: of millions of members
no more than a slice is decoded at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from buntime_host.http.doubled import Pairs, doubled_in, quotes, read_pairs
from buntime_keyval.wire.canonical import TextFrame, ValueFrame
from buntime_keyval.wire.limits import MOST_AROUND_VALUE
from buntime_keyval.wire.slices import Frame, Slice, Steps, read_slices

from buntime_plugin_keyval.model.errors import LimitExceeded
from buntime_plugin_keyval.requests.shape import VALUES, given_twice

MakeFrame = Callable[[str, "BodyRoom"], Frame]
"""Makes the frame of an array (`[`) or object (`{`), with this room for its contents."""

LargeMembers = Mapping[str, MakeFrame]
"""The members of an object that are not kept as they are."""


class BodyRoom:
    """The room for one item, or for everything around the items, not counting values.

    These bytes become Python objects, which take many times the memory, and time to be freed.
    """

    def __init__(self, most: int) -> None:
        """`most` is the limit `requestBytes`."""
        self.most = most
        self._left = most

    def take(self, size: int) -> None:
        """Use up some of the room. Raises `LimitExceeded` if there is not enough."""
        self._left -= size
        if self._left < 0:
            what = f"Body too large: more than {self.most} bytes beside its values"
            raise LimitExceeded(what, "requestBytes", self.most)


def body_steps(content: bytes, members: LargeMembers, most: int) -> Steps:
    """The decoded body, in steps. Raises `InvalidInput`, and what the frames of members raise.

    `most` is the size of an item without its values; see `BodyRoom`.
    """
    items = yield from read_slices(
        content, _Body(members, BodyRoom(most)), _check, MOST_AROUND_VALUE
    )
    return items[0]


def _check(read: Slice) -> None:
    """Refuse a slice that is too large, and members that are given twice."""
    if isinstance(read.frames[0], TextFrame):
        return  # all of it is within a value
    frame = read.frames[-1]
    if isinstance(frame, _Plain) and not isinstance(frame, _Items) and not read.is_long:
        frame.room.take(read.size)
    _refuse_doubled(read)


def _refuse_doubled(read: Slice) -> None:
    """Raise `InvalidInput` for a member that a slice has twice, outside of stored values."""
    if read.is_long:
        # It has few members, and encoding it again would take long.
        kept = 2 * _count_strings(read.value)
    else:
        kept = quotes(msgspec.json.encode(read.value))
    if kept == read.quotes:
        return
    members = read_pairs(read.text)
    for frame, has_inner in read.levels():
        if isinstance(frame, TextFrame):
            return  # what follows is within a value
        place = frame.place if isinstance(frame, _Plain) else ""
        inner = members.pop(0) if has_inner else None
        # An array without a place is the one around the whole body.
        for part in [members] if place or isinstance(members, Pairs) else members:
            for doubled in doubled_in(part, VALUES, place):
                raise given_twice(*doubled)
        members = inner[1] if isinstance(inner, tuple) else inner


def value_frame(now_ms: int) -> MakeFrame:
    """A maker of frames for values, which become `CanonicalText`, with `now_ms` for `$now`."""
    return lambda kind, _: ValueFrame(kind, now_ms)


def items_frame(
    name: str, parse: Callable[[int, Any], Any], members: LargeMembers
) -> tuple[str, MakeFrame]:
    """A member's name, and a maker of frames for its array of objects with these `members`.

    `parse` is called with each item and its index, and returns what is kept of it.
    """

    def make(kind: str, room: BodyRoom) -> Frame:
        return _Items(parse, members, name, room) if kind == "[" else _Plain(kind, room, name)

    return name, make


class _Plain:
    """A `Frame` of an array or object that is kept as it is."""

    def __init__(self, kind: str, room: BodyRoom, place: str = "") -> None:
        self._value: Any = {} if kind == "{" else []
        self.room = room
        self.place = place
        """Its place in the body, without the indexes of items."""

    def child(self, kind: str, name: str | None) -> Frame:
        return _Plain(kind, self.room, self._below(name))

    def _below(self, name: str | None) -> str:
        if name is None:
            return f"{self.place}[]" if self.place else ""
        return f"{self.place}.{name}" if self.place else name

    def add(self, members: Any) -> None:
        if isinstance(members, dict):
            for name in members.keys() & self._value.keys():
                raise given_twice(name, self.place)
            self._value.update(members)
        else:
            self._value += members

    def put(self, name: str | None, result: Any) -> None:
        self.add([result] if name is None else {name: result})

    def close(self) -> Steps:
        yield from ()
        return self._value


class _Members(_Plain):
    """An object of which some members are not kept as they are."""

    def __init__(self, members: LargeMembers, room: BodyRoom, place: str = "") -> None:
        super().__init__("{", room, place)
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:
        make = self._members.get(name or "")
        return super().child(kind, name) if make is None else make(kind, self.room)


class _Body(_Plain):
    """The array around a body."""

    def __init__(self, members: LargeMembers, room: BodyRoom) -> None:
        super().__init__("[", room)
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:  # noqa: ARG002 - see `Frame`
        return _Members(self._members, self.room) if kind == "{" else _Plain(kind, self.room)


class _Items(_Plain):
    """An array whose items are parsed as they come."""

    def __init__(
        self, parse: Callable[[int, Any], Any], members: LargeMembers, place: str, room: BodyRoom
    ) -> None:
        super().__init__("[", room, place)
        self._parse = parse
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:
        if kind == "{":
            return _Members(self._members, BodyRoom(self.room.most), self._below(name))
        return super().child(kind, name)

    def add(self, members: Any) -> None:
        for item in members:
            self._value.append(self._parse(len(self._value), item))


def _count_strings(value: Any) -> int:
    """The number of names and texts in a decoded JSON value."""
    if isinstance(value, dict):
        return len(value) + sum(map(_count_strings, value.values()))
    if isinstance(value, list):
        return sum(map(_count_strings, value))
    return isinstance(value, str)
