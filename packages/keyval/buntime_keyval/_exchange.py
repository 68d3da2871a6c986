"""A client's reports about its requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from buntime_keyval._errors import KvError


class Exchange(NamedTuple):
    """One request and its outcome; `on_exchange` of a client gets each."""

    method: str
    path: str
    """Below the base URL, without the query."""
    status: int | None
    """Status of the answer; None without one."""
    seconds: float
    """From sending to the whole answer; of an event stream, to its first byte."""
    request_id: str | None
    """Under which the server logged it, or that it was given."""
    error: KvError | None
    """The exception, if it failed."""


Observer = Callable[[Exchange], None]
"""Called on the thread, or the loop, of the request: it should return at once and not raise."""
