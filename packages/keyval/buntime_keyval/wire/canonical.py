"""Canonical text of large values, made in steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from buntime_keyval.wire.errors import InvalidInput
from buntime_keyval.wire.limits import MAX_VALUE_BYTES, MAX_VALUE_DEPTH
from buntime_keyval.wire.long_texts import Part, encoded_steps, is_long
from buntime_keyval.wire.numbers import TYPE_MEMBER
from buntime_keyval.wire.slices import SLICE, Steps, read_slices
from buntime_keyval.wire.stamps import without_stamps
from buntime_keyval.wire.values import (
    NOW_MEMBER,
    canonical_members,
    canonical_part,
    canonical_value,
    check_depth,
    checked_text,
    special,
    too_deep,
)

WHOLE = 2 * SLICE
"""Bytes of a text that is not worth slicing."""

NAMES = 340_000
"""Members of an object after which their names go into another dict: to grow a very large one takes
longer than a step may."""

_SPECIAL_MEMBERS = frozenset({NOW_MEMBER, "$offset", "offset", TYPE_MEMBER, "value"})
_CLOSING = {"[": b"]", "{": b"}"}
_encode = msgspec.json.encode
_decode = msgspec.json.decode


def canonical_steps(body: bytes, now_ms: int) -> Steps:
    """`canonical_value` in steps."""
    if len(body) <= WHOLE:
        return canonical_value(body, now_ms)
    pieces = yield from read_slices(body, TextFrame("[", now_ms, level=0))
    return (yield from joined_steps(pieces[1:-1]))  # the frame is an array around it


class CanonicalText:
    """A value that is canonical JSON text already, in the place of a decoded one."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def text_of(value: Any, now_ms: int, *, placeholders: bool = False) -> str:
    """The canonical text of a decoded value, or of one that is such a text.

    `placeholders` leaves those of versionstamps for the commit; without it they are refused.
    """
    text = value.text if isinstance(value, CanonicalText) else canonical_part(value, now_ms)
    return text if placeholders else without_stamps(text)


def joined_steps(pieces: list[bytes]) -> Steps:
    """The canonical text of these pieces. Raises `InvalidInput` if it is too long."""
    text = b"".join(pieces)
    yield
    return checked_text(text)


class TextFrame:
    """The `Frame` of an array or object that becomes canonical text, in pieces.

    Joined once, at the end: at each level it would be copied as often as it is nested.
    """

    def __init__(self, kind: str, now_ms: int, level: int = 1) -> None:
        self._kind = kind
        self._now_ms = now_ms
        self._level = level
        """Within the value, which is the first."""
        self._groups: list[list[bytes]] = []
        """The text of some members in one piece, or one member in several."""
        self._long: dict[int, list[Part]] = {}
        """Those of a member that is not encoded yet, as its name or it is a long text."""
        self._places: list[dict[str, int]] = [{}]
        """In which group each member of an object is, so many of them at a time."""
        self._outdated: dict[int, set[str]] = {}
        """Names of members that came again in a later group."""
        self._size = 0

    def child(self, kind: str, name: str | None) -> TextFrame:  # noqa: ARG002 - see `Frame`
        if self._level == MAX_VALUE_DEPTH:
            raise too_deep()
        return TextFrame(kind, self._now_ms, self._level + 1)

    def add(self, members: Any) -> None:
        if not members:
            return
        if isinstance(members, dict):
            self._note(members)
        levels = MAX_VALUE_DEPTH - self._level + 1
        if _leads_to_long(members):
            check_depth(members, levels)
            self._append(_in_parts(members, self._now_ms)[1:-1])
            return
        text = canonical_members(members, self._now_ms)[1:-1]
        if len(text) > 2 * levels - 2:  # or it has fewer brackets
            check_depth(members, levels)
        self._groups.append([text])
        self._size += len(text)
        if self._size > MAX_VALUE_BYTES:  # 1e17 is longer than what it was written as
            raise InvalidInput(f"Value too large: {self._size} bytes (max {MAX_VALUE_BYTES})")

    def _append(self, parts: list[Part]) -> None:
        """Keep a member in parts, of which texts are encoded when everything is there."""
        self._long[len(self._groups)] = parts
        self._groups.append([])

    def put(self, name: str | None, result: list[bytes]) -> None:
        if name is None:
            self._groups.append(result)
        else:
            self._note({name: None})
            if is_long(name):
                self._append([name, b":", *result])
            else:
                self._groups.append([_encode(name), b":", *result])

    def close(self) -> Steps:
        found = {
            name: places[name]
            for places in self._places
            for name in _SPECIAL_MEMBERS & places.keys()
        }
        # Of all others one is enough: an object that stands for something else has none.
        all_names = (name for places in self._places for name in places)
        other = next((name for name in all_names if name not in _SPECIAL_MEMBERS), None)
        while len(self._places) > 1:
            self._places.pop()  # to forget a million names at once takes long as well
            yield
        if NOW_MEMBER in found or TYPE_MEMBER in found:
            members = {name: self._member(name, group) for name, group in found.items()}
            if other is not None:
                members[other] = None
            yield
            if (stands_for := special(members, self._now_ms)) is not None:
                yield
                return [_encode(stands_for)]
        for index, parts in self._long.items():
            self._groups[index] = yield from encoded_steps(parts)
        pieces = [self._kind.encode()]
        for index, group in enumerate(self._groups):
            names = self._outdated.get(index)
            if names is not None:
                group = _without(group, names)
                yield
            if group:
                if len(pieces) > 1:
                    pieces.append(b",")
                pieces += group
        pieces.append(_CLOSING[self._kind])
        return pieces

    def _note(self, members: Mapping[str, Any]) -> None:
        for places in self._places:
            if places.keys().isdisjoint(members):
                continue
            for name in members.keys() & places.keys():
                self._outdated.setdefault(places.pop(name), set()).add(name)
        if len(self._places[-1]) >= NAMES:
            self._places.append({})
        self._places[-1].update(dict.fromkeys(members, len(self._groups)))

    def _member(self, name: str, place: int) -> Any:
        if place in self._long:
            return self._long[place][-1]
        group = self._groups[place]
        # A member in pieces is an array or object, which is wrong in all of these places.
        return [] if len(group) > 1 else _decode(b"{%b}" % group[0])[name]


class ValueFrame(TextFrame):
    """The same with a `CanonicalText` for a result."""

    def close(self) -> Steps:
        """See `Frame`."""
        pieces = yield from super().close()
        return CanonicalText((yield from joined_steps(pieces)))


def _leads_to_long(members: Any) -> bool:
    """Whether the only member of the only one, and so on, has a long text or name."""
    while isinstance(members, (dict, list)) and len(members) == 1:
        member = _first(members)
        if isinstance(members, dict):
            (name,) = members
            if name in _SPECIAL_MEMBERS:
                return False
            if is_long(name):
                return True
        members = member
    return isinstance(members, str) and is_long(members)


def _in_parts(value: Any, now_ms: int) -> list[Part]:
    """The canonical text of a value with its long texts as they are."""
    if isinstance(value, str):
        return [value]
    if _leads_to_long(value):
        inside = _in_parts(_first(value), now_ms)
        if isinstance(value, dict):
            return [b"{", *value, b":", *inside, b"}"]
        return [b"[", *inside, b"]"]
    return [canonical_members([value], now_ms)[1:-1]]


def _first(members: Any) -> Any:
    return next(iter(members.values() if isinstance(members, dict) else members))


def _without(group: list[bytes], names: set[str]) -> list[bytes]:
    """What is left of a group without the members of these names."""
    if len(group) > 1:
        return []
    members = _decode(b"{%b}" % group[0])
    rest = {name: member for name, member in members.items() if name not in names}
    return [_encode(rest)[1:-1]] if rest else []
