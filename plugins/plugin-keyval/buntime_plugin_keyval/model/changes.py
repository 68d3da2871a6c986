"""Changes of a commit, as subscribers see them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Literal, NamedTuple

Operation = Literal["set", "delete", "expire"]


class Place(NamedTuple):
    """A place in the history of a store: just after one of its changes, or before all of them.

    No other database has this place, nor has an older copy of this one that was written to since:
    its change with this number is a different one.
    """

    log: str
    """Identity of the change log."""
    seq: int
    """Position of the change, 0 before all. Positions may be compared, but not subtracted."""
    mark: str
    """Tells the change with this `seq` from different ones with the same; empty before all."""


def mark_of(versionstamp: str) -> str:
    """The mark of a change of this commit: random digits of its versionstamp."""
    return versionstamp[-12:]


class Change(NamedTuple):
    """One changed key of one commit."""

    seq: int
    """Position in the change log. It grows with every change, possibly with gaps."""
    key: bytes
    operation: Operation
    versionstamp: str
    at: int
    """When it was committed, epoch milliseconds."""
    value: str | None = None
    """The new value as canonical JSON where the commit carried it, else None."""

    def place(self, log: str) -> Place:
        """The place after this change."""
        return Place(log, self.seq, mark_of(self.versionstamp))


Subscriber = Callable[[Sequence[Change], int | None], Awaitable[None] | None]
"""Called on the event loop directly after a commit, with its changes and the position of the change
that they directly follow, or None if the engine does not tell. Must not block or raise. If it
returns an awaitable, the writer is answered only after that."""
