"""What requests name: the parts of an entry that are told, and the kinds of mutations."""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

MutationType = Literal[
    "set", "delete", "sum", "max", "min", "append", "prepend", "patch", "touch", "persist"
]
"""What a commit may do to a key; a message beside it has the type `enqueue`."""
MUTATION_TYPES: tuple[str, ...] = get_args(MutationType)


class Shape(NamedTuple):
    """What of an entry is told beside its key and its versionstamp."""

    values: bool = True
    details: bool = False
    """Metadata, and the times of creation, last write and expiry."""

    def members(self) -> dict[str, bool | None]:
        """As members of a body or a query; None where nothing has to be said."""
        return {"values": None if self.values else False, "details": self.details or None}


PLAIN = Shape()
