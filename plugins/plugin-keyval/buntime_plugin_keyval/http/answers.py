"""What an endpoint answers with when it is more than JSON text with status 200."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec

JSON = "application/json"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """A complete answer; `allow` names the methods of a path that was called with another.

    `length` is that of a body which was not made, since nobody gets it: the answer to a `HEAD`.
    """

    status: int
    body: str
    content_type: str = JSON
    allow: str = ""
    length: int | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Further ones."""


Frames = AsyncGenerator[bytes, None]
"""The frames of an event stream."""
