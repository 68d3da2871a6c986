"""Large bodies, read a slice at a time.

Of what they hold, values become canonical text at once, and the items of a commit what they stand
for: of millions of members no more than a slice is ever there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from buntime_keyval.wire.canonical import ValueFrame
from buntime_keyval.wire.slices import Frame, Steps, read_slices

MakeFrame = Callable[[str], Frame]
"""Makes the frame of an array (`[`) or object (`{`)."""

LargeMembers = Mapping[str, MakeFrame]
"""The members of an object that are not kept as they come."""


def body_steps(content: bytes, members: LargeMembers) -> Steps:
    """The decoded body, in steps. Raises `InvalidInput`, and what the frames of members raise."""
    items = yield from read_slices(content, _Body(members))
    return items[0]


def value_frame(now_ms: int) -> MakeFrame:
    """Makes frames of values, with `$now` as that time; they become `CanonicalText`."""
    return lambda kind: ValueFrame(kind, now_ms)


def items_frame(parse: Callable[[int, Any], Any], members: LargeMembers) -> MakeFrame:
    """Makes frames of arrays of objects, `members` being those of each.

    `parse` makes of each item, with its index, what is kept of it.
    """
    return lambda kind: _Items(parse, members) if kind == "[" else _Plain(kind)


class _Plain:
    """An array or object that is kept as it is."""

    def __init__(self, kind: str) -> None:
        self._value: Any = {} if kind == "{" else []

    def child(self, kind: str, name: str | None) -> Frame:  # noqa: ARG002 - see `Frame`
        """See `Frame`."""
        return _Plain(kind)

    def add(self, members: Any) -> None:
        """See `Frame`."""
        if isinstance(members, dict):
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

    def __init__(self, members: LargeMembers) -> None:
        super().__init__("{")
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:
        """See `Frame`."""
        make = self._members.get(name or "")
        return _Plain(kind) if make is None else make(kind)


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

    def __init__(self, parse: Callable[[int, Any], Any], members: LargeMembers) -> None:
        super().__init__("[")
        self._parse = parse
        self._members = members

    def child(self, kind: str, name: str | None) -> Frame:  # noqa: ARG002 - see `Frame`
        """See `Frame`."""
        return _Members(self._members) if kind == "{" else _Plain(kind)

    def add(self, members: Any) -> None:
        """See `Frame`."""
        for item in members:
            self._value.append(self._parse(len(self._value), item))
