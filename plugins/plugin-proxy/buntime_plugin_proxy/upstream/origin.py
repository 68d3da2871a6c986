"""The servers that requests are forwarded to."""

from __future__ import annotations

from typing import NamedTuple


class Origin(NamedTuple):
    """The address and the settings of connections; those of one origin are all alike."""

    tls: bool
    host: str
    """A name or an address, without brackets."""
    port: int
    verify: bool = True
    """Whether its certificate must be valid."""
