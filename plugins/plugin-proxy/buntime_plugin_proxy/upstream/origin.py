"""A server that requests go to."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """Where connections are made to, and how; connections of one are all alike."""

    tls: bool
    host: str
    """A name or an address, without brackets."""
    port: int
    verify: bool = True
    """Whether its certificate has to be good."""
