"""Options of a database on a PostgreSQL server."""

from __future__ import annotations

from typing import NamedTuple


class PostgresOptions(NamedTuple):
    """The options of an entry in the configuration, besides the server."""

    schema: str = "public"
    pool_size: int = 10
    """Most connections of this process; two of them write."""
    statement_seconds: float = 10.0
    """Longest time of a statement; 0 for ever."""
    timeout_seconds: float = 30.0
    """Time that a write may wait for its turn, and that the server is asked for the outcome of one
    whose answer was lost."""
    statement_cache: int = 500
    """Statements that each connection keeps prepared. 0 where connections of the server change
    hands between two transactions: then nothing is kept, and every call is a transaction."""
    listen_url: str | None = None
    """The source of notifications; None is the server itself, if connections last."""
