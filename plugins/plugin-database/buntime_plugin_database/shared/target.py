"""Which database is meant."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """The database that a client asked for; None is the default engine, or the root database."""

    type: str | None = None
    tenant: str | None = None
