"""Changes: what a commit did, as subscribers see it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

Operation = Literal["set", "delete", "expire"]


class Place(NamedTuple):
    """A place in the history of a store: just behind one of its changes, or before them all.

    Another database has no such place, nor has an older copy of this one that was written since:
    its change with this number is another one.
    """

    log: str
    """Identity of the change log."""
    seq: int
    """Position of the change, 0 before all: to be compared, never to be counted with."""
    mark: str
    """What tells the change with this `seq` from others that had the same; empty before all."""


def mark_of(versionstamp: str) -> str:
    """The mark of a change of this commit: random digits of its versionstamp."""
    return versionstamp[-12:]


class Change(NamedTuple):
    """One changed key of one commit."""

    seq: int
    """Position in the change log. It grows with every change; numbers may be left out."""
    key: bytes
    operation: Operation
    versionstamp: str
    at: int
    """When it was committed, epoch milliseconds."""
    value: str | None = None
    """The new value as canonical JSON where the commit carried it, else None."""

    def place(self, log: str) -> Place:
        """The place behind it."""
        return Place(log, self.seq, mark_of(self.versionstamp))


Subscriber = Callable[[Sequence[Change], int | None], Awaitable[None] | None]
"""Called on the event loop straight after a commit, with all that it changed, and the position of
the change that these follow with nothing in between: None where the engine does not say. Must not
block and must not raise. If it returns something to await, the writer is answered only after it."""
