"""How a database on a cluster is used."""

from __future__ import annotations

import ssl
from typing import Literal, NamedTuple

ReadLevel = Literal["weak", "linearizable", "none"]
"""What a read is certain of: see `docs/databases.md`."""


class RqliteOptions(NamedTuple):
    """What an entry of the configuration says, besides the nodes."""

    user: str | None = None
    password: str | None = None
    read_level: ReadLevel = "weak"
    freshness_seconds: float = 0.0
    """How old what a follower has may be, for the level `none`; 0 does not look."""
    statement_seconds: float = 10.0
    """Longest time that a query may run on a node; 0 for ever."""
    timeout_seconds: float = 20.0
    """Longest time from sending a request to its answer, elections included."""
    tls: ssl.SSLContext | None = None
    """For nodes with `https`; None is what the system trusts."""
