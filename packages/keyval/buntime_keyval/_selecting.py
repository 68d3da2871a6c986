"""Which keys a call is about: checked selectors. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import msgspec

from buntime_keyval._entries import is_many, raw_key, raw_keys, raw_pattern
from buntime_keyval.wire import (
    InvalidInput,
    Key,
    KeyLike,
    KeyOrKeys,
    Pattern,
    PatternLike,
    checked_pattern,
)
from buntime_keyval.wire.entry_types import checked_type
from buntime_keyval.wire.python_keys import checked_beginning, checked_keys, checked_prefix

EVERY_TEXT = "Every text begins with an empty one: name what to delete"


class Selector(NamedTuple):
    """A selection of keys: below a prefix or several, with a text that begins like `starts_with`,
    or that match a pattern.

    Of these the ones from `start`, inclusive, to `end`, exclusive, and of their entries those of
    the type behind the first `offset`.
    """

    prefix: Key = ()
    prefixes: Sequence[Key] | None = None
    starts_with: Key | None = None
    start: Key | None = None
    end: Key | None = None
    offset: int = 0
    type: str | None = None
    pattern: Pattern | None = None

    @property
    def is_prefix(self) -> bool:
        """Whether the prefix says it all."""
        return self[1:] == _NOTHING_ELSE

    def members(self) -> dict[str, Any]:
        """The selection as members of a body."""
        raw: dict[str, msgspec.Raw | None] = {
            "prefix": raw_key(self.prefix) if self.prefix else None,
            "prefixes": None if self.prefixes is None else raw_keys(self.prefixes),
            "startsWith": None if self.starts_with is None else raw_key(self.starts_with),
            "pattern": None if self.pattern is None else raw_pattern(self.pattern),
            "start": None if self.start is None else raw_key(self.start),
            "end": None if self.end is None else raw_key(self.end),
        }
        return raw | {"offset": self.offset or None, "type": self.type}


_NOTHING_ELSE = tuple(Selector())[1:]


def selected(
    prefix: KeyLike = (),
    prefixes: Sequence[KeyLike] | None = None,
    starts_with: KeyLike | None = None,
    start: KeyLike | None = None,
    end: KeyLike | None = None,
    offset: int = 0,
    type: str | None = None,
    pattern: PatternLike | None = None,
) -> Selector:
    """The checked selectors of a call. Raises `InvalidInput`."""
    others = (prefixes, starts_with, pattern)
    if bool(prefix) + sum(it is not None for it in others) > 1:
        raise InvalidInput("Give only one of prefix, prefixes, starts_with and pattern")
    return Selector(
        checked_prefix(prefix),
        None if prefixes is None else checked_keys(prefixes),
        None if starts_with is None else checked_beginning(starts_with),
        _bound(start),
        _bound(end),
        checked_offset(offset),
        checked_type(type),
        None if pattern is None else checked_pattern(pattern),
    )


def selecting(
    key: KeyOrKeys,
    prefixes: Sequence[KeyLike] | None,
    starts_with: KeyLike | None,
    start: KeyLike | None,
    end: KeyLike | None,
    limit: int | None,
    offset: int,
    *,
    exact: bool,
    type: str | None = None,
    pattern: PatternLike | None = None,
) -> Selector | None:
    """The selection of a deletion of more than a key or several. Raises `InvalidInput`."""
    others = (prefixes, starts_with, start, end, limit, type, pattern)
    if all(it is None for it in others) and offset == 0:
        return None
    if exact:
        raise InvalidInput("exact is for keys, and not for ranges of them: leave it out")
    selects = key or prefixes or starts_with or type or pattern
    if not selects and (start is None or end is None):
        raise InvalidInput(
            "Name what to delete: a key, prefixes, starts_with, a pattern, a type, or both start"
            " and end; to delete the whole store, pass everything=True"
        )
    if key and prefixes is None and is_many(key):
        key, prefixes = (), key
    found = selected(cast("KeyLike", key), prefixes, starts_with, start, end, offset, type, pattern)
    if found.starts_with == ("",):
        raise InvalidInput(EVERY_TEXT)
    return found


def checked_offset(offset: object) -> int:
    """A whole number that is not negative. Raises `InvalidInput`."""
    if isinstance(offset, bool) or not isinstance(offset, int) or offset < 0:
        raise InvalidInput(f"offset must be a whole number from 0, received {offset!r:.50}")
    return offset


def _bound(raw: Any) -> Key | None:
    return None if raw is None else checked_prefix(raw) or None
