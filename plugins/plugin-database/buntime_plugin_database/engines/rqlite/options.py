"""Options of a database on a cluster."""

from __future__ import annotations

import ssl
from typing import Literal, NamedTuple

ReadLevel = Literal["weak", "linearizable", "none"]
"""The consistency of reads: see `docs/databases.md`."""


class RqliteOptions(NamedTuple):
    """The options of an entry in the configuration, besides the nodes."""

    user: str | None = None
    password: str | None = None
    read_level: ReadLevel = "weak"
    freshness_seconds: float = 0.0
    """Greatest age of a follower's data for the level `none`; 0 does not check."""
    statement_seconds: float = 10.0
    """Longest time that a query may run on a node; 0 for ever."""
    timeout_seconds: float = 20.0
    """Longest time from sending a request to its answer, elections included."""
    tls: ssl.SSLContext | None = None
    """For nodes with `https`; None is the system's setting."""
