"""A database connection of one's own, for those that speak SQL over a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from buntime_database._statements import Value


class SessionLimits(NamedTuple):
    """The limits of one session, and whether it may write."""

    statement_seconds: float = 5.0
    """A statement that runs longer is interrupted with `StatementTimeout`."""
    transaction_seconds: float = 5.0
    """A transaction that keeps the write lock longer is rolled back with `TransactionTimeout`."""
    max_bytes: int = 10 * 1024 * 1024
    """Approximate size of the rows of one result; more is `ResultTooLarge`."""
    readonly: bool = False
    schema: bool = True
    """Whether it may change tables, indexes and the like, if it may write."""


class Column(NamedTuple):
    """One column of a result."""

    name: str
    decltype: str | None
    """The type in the schema when the column comes straight from a table."""


class SessionResult(NamedTuple):
    """The result of one statement."""

    columns: tuple[Column, ...]
    rows: list[tuple[Value, ...]]
    rowcount: int
    """Rows inserted, updated or deleted."""
    lastrowid: int | None
    truncated: bool = False
    """There were more rows than asked for."""
    seconds: float = 0.0
    size: int = 0
    """Approximate bytes of the rows."""


class Description(NamedTuple):
    """The effects of a statement, found without running it."""

    parameters: tuple[str | None, ...]
    """Names with their prefix (`:a`, `@a`, `$a`, `?1`); None for a plain `?`."""
    columns: tuple[Column, ...]
    is_explain: bool
    is_readonly: bool


class SessionCursor(Protocol):
    """The rows of a statement that is under way."""

    @property
    def columns(self) -> tuple[Column, ...]: ...

    async def fetch(self, max_rows: int) -> list[tuple[Value, ...]]:
        """The next rows, `max_rows` or fewer where they are long; none at the end."""

    async def finish(self) -> SessionResult:
        """End the statement, rows left or not, and return its counts without rows."""


class Session(Protocol):
    """One connection. Calls are serialised; a cancelled call interrupts its statement.

    Statements are those of the engine, transaction control included. Every method raises a
    `DatabaseError`, and only that, when the engine fails or refuses.
    """

    @property
    def autocommit(self) -> bool:
        """Whether no transaction is open."""

    @property
    def rollback_at(self) -> float | None:
        """When the open transaction must have ended, on the clock of `time.monotonic`."""

    async def execute(
        self,
        sql: str,
        args: Sequence[Value] = (),
        named: Mapping[str, Value] | None = None,
        *,
        want_rows: bool = True,
        max_rows: int | None = None,
        max_bytes: int | None = None,
    ) -> SessionResult:
        """Run exactly one statement. A name may leave out its prefix, and wins over a position.

        With `max_bytes`, a statement that only reads raises `MoreThanAsked` when its rows, or a
        value that it computes, are larger than that. So does one that writes and gives rows, and
        then it has written nothing; a transaction that it is in stays open.
        """

    async def open_cursor(
        self, sql: str, args: Sequence[Value] = (), named: Mapping[str, Value] | None = None
    ) -> SessionCursor:
        """Start exactly one statement and read its rows piece by piece; one at a time."""

    async def sequence(self, sql: str) -> None:
        """Run any number of statements without arguments, until one fails."""

    async def describe(self, sql: str) -> Description:
        """Parse exactly one statement without running it."""

    async def roll_back(self, reason: Exception) -> None:
        """Undo the open transaction, if any.

        Until a ROLLBACK arrives, every further statement fails with `reason`: a client that
        does not know must not go on as if its transaction were still there.
        """

    async def close(self) -> None:
        """Interrupt what runs, roll back, release the connection. Idempotent."""
