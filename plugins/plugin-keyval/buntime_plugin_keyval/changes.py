"""Changes: what a commit did, as subscribers see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

Operation = Literal["set", "delete", "expire"]


class Change(NamedTuple):
    """One changed key of one commit."""

    seq: int
    """Place in the change log; grows with every change."""
    key: bytes
    operation: Operation
    versionstamp: str
    at: int
    """When it was committed, epoch milliseconds."""
    value: str | None = None
    """The new value as canonical JSON where the commit carried it, else None."""


Subscriber = Callable[[Sequence[Change]], Awaitable[None] | None]
"""Called on the event loop straight after a commit, with all that it changed; must not block and
must not raise. If it returns something to await, the writer is answered only after that."""
