"""Which database is meant."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """The database that a client asked for; None is the default engine, or the root database."""

    type: str | None = None
    tenant: str | None = None
    readonly: bool = False
    """Whether who asks may only read it."""
    schema: bool = True
    """Whether who asks may change its schema."""
