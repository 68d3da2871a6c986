"""Large bodies, read a slice at a time.

Of what they hold, values become canonical text at once, and the items of a commit what they stand
for: of millions of members no more than a slice is ever there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from buntime_host.doubled import Pairs, doubled_in, has_doubled, read_pairs
from buntime_keyval.wire.canonical import TextFrame, ValueFrame
from buntime_keyval.wire.slices import Frame, Slice, Steps, read_slices

from buntime_plugin_keyval.requests.shape import VALUES, given_twice

MakeFrame = Callable[[str], Frame]
"""Makes the frame of an array (`[`) or object (`{`)."""

LargeMembers = Mapping[str, MakeFrame]
"""The members of an object that are not kept as they come."""


def body_steps(content: bytes, members: LargeMembers) -> Steps:
    """The decoded body, in steps. Raises `InvalidInput`, and what the frames of members raise."""
    items = yield from read_slices(content, _Body(members), _refuse_doubled)
    return items[0]


def _refuse_doubled(read: Slice) -> None:
    """Raise `InvalidInput` for a member that is twice in one slice, outside of stored values."""
    if not has_doubled(read.text, read.value):
        return
    members = read_pairs(read.text)
    for frame, has_inner in read.levels():
        if isinstance(frame, TextFrame):
            return  # what follows is within a value
        place = frame.place if isinstance(frame, _Plain) else ""
        inner = members.pop(0) if has_inner else None
        # An array without a place is what goes around the whole body.
        for part in [members] if place or isinstance(members, Pairs) else members:
            for doubled in doubled_in(part, VALUES, place):
                raise given_twice(*doubled)
        members = inner[1] if isinstance(inner, tuple) else inner


def value_frame(now_ms: int) -> MakeFrame:
    """Makes frames of values, with `$now` as that time; they become `CanonicalText`."""
    return lambda kind: ValueFrame(kind, now_ms)


def items_frame(
    name: str, parse: Callable[[int, Any], Any], members: LargeMembers
) -> tuple[str, MakeFrame]:
    """A member's name, and what makes frames of its array of objects, `members` being theirs.

    `parse` makes of each item, with its index, what is kept of it.
    """
    return name, lambda kind: _Items(parse, members, name) if kind == "[" else _Plain(kind, name)


class _Plain:
    """An array or object that is kept as it is."""

    def __init__(self, kind: str, place: str = "") -> None:
        self._value: Any = {} if kind == "{" else []
        self.place = place
        """Where it is in the body, without the numbers of items."""

    def child(self, kind: str, name: str | None) -> Frame:
        """See `Frame`."""
        return _Plain(kind, self._below(name))

    def _below(self, name: str | None) -> str:
        if name is None:
            return f"{self.place}[]" if self.place else ""
        return f"{self.place}.{name}" if self.place else name

    def add(self, members: Any) -> None:
        """See `Frame`."""
        if isinstance(members, dict):
            for name in members.keys() & self._value.keys():
                raise given_twice(name, self.place)
            self._value.update(members)
        else:
            self._value += members

    def put(self, name: str | None, result: Any) -> None:
        """See `Frame`."""
        self.add([result] if name is None else {name: result})

    def close(self) -> Steps:
        """See `Frame`."""
        yield from ()
        return self._value


class _Members(_Plain):
    """An object of which some members are not kept as they come."""

    def __init__(self, members: LargeMembers, place: str = "") -> None:
        super().__init__("{", place)
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:
        """See `Frame`."""
        make = self._members.get(name or "")
        return super().child(kind, name) if make is None else make(kind)


class _Body(_Plain):
    """The array around a body."""

    def __init__(self, members: LargeMembers) -> None:
        super().__init__("[")
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:  # noqa: ARG002 - see `Frame`
        """See `Frame`."""
        return _Members(self._members) if kind == "{" else _Plain(kind)


class _Items(_Plain):
    """An array of which only that is kept which its items stand for."""

    def __init__(self, parse: Callable[[int, Any], Any], members: LargeMembers, place: str) -> None:
        super().__init__("[", place)
        self._parse = parse
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:
        """See `Frame`."""
        if kind == "{":
            return _Members(self._members, self._below(name))
        return super().child(kind, name)

    def add(self, members: Any) -> None:
        """See `Frame`."""
        for item in members:
            self._value.append(self._parse(len(self._value), item))
