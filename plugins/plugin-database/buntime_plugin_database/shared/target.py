"""The database that a request is for."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """The database that a client asked for; None is the default engine, or the root database."""

    type: str | None = None
    tenant: str | None = None
    readonly: bool = False
    """Whether the sender may only read it."""
    schema: bool = True
    """Whether the sender may change its schema."""
