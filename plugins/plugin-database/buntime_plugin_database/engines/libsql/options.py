"""Options of databases on libSQL servers."""

from __future__ import annotations

from typing import Literal, NamedTuple

Routing = Literal["subdomain", "header"]
"""The way in which a request names its namespace."""


class LibsqlOptions(NamedTuple):
    """The options of an entry in the configuration, besides the servers."""

    auth_token: str | None = None
    timeout_seconds: float = 30.0
    """Longest time from sending a request to its answer."""
    namespace: str | None = None
    """The database on the servers; None leaves it to the URL."""
    routing: Routing = "subdomain"
    read_your_writes: bool | float = True
    """True: a replica answers only when it has all that this adapter wrote or saw. A number:
    reads go to the primary for so many seconds after a write. False: replicas may be behind."""
