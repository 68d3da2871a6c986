"""The server's time, for values and filters."""

from __future__ import annotations

from typing import Any

from buntime_keyval.wire import NOW_MEMBER, Duration, parse_duration
from buntime_keyval.wire.numbers import plain_number

_OFFSET = "$offset"


class Now(dict[str, Any]):
    """Stands for the time at the server, in epoch milliseconds, when it gets the request.

    Works in filters and inside values. It is the JSON form of itself, so it can be part of a
    filter that is a plain dict.
    """

    __slots__ = ()

    def __init__(self, offset: float = 0) -> None:
        super().__init__({NOW_MEMBER: True})
        if offset:
            self[_OFFSET] = plain_number(float(offset))

    @property
    def offset(self) -> float:
        """Milliseconds between this and the server's time."""
        return float(self.get(_OFFSET, 0))

    def add(self, duration: Duration) -> Now:
        """So much later: milliseconds, or a text such as `"1h"`. Raises `InvalidInput`."""
        return Now(self.offset + parse_duration(duration))

    def sub(self, duration: Duration) -> Now:
        """So much earlier: milliseconds, or a text such as `"24h"`. Raises `InvalidInput`."""
        return Now(self.offset - parse_duration(duration))
