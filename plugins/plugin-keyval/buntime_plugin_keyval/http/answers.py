"""What an endpoint answers with when it is more than JSON text with status 200."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import NamedTuple

JSON = "application/json"


class Answer(NamedTuple):
    """A complete answer; `allow` names the methods of a path that was called with another."""

    status: int
    body: str
    content_type: str = JSON
    allow: str = ""


Frames = AsyncGenerator[bytes, None]
"""The frames of an event stream."""
