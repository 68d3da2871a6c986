"""The protocols that an engine implements and that its users call."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

from buntime_database._errors import DatabaseError
from buntime_database._session import Session, SessionLimits
from buntime_database._statements import Batch, Capabilities, Guard, ResultSet, Statement, Value

T = TypeVar("T")


class Transaction(Protocol):
    """An open interactive transaction; valid until the function that got it returns."""

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> list[dict[str, Value]]:
        """Run one statement and return its rows as dictionaries."""

    async def execute_one(self, sql: str, args: Sequence[Value] = ()) -> dict[str, Value] | None:
        """Run one statement and return its first row, or None."""

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        """Run one statement and return rows, column names and counts."""


class Adapter(Protocol):
    """One database of one engine. All methods may be called concurrently.

    Every method raises a `DatabaseError`, and only that, when the engine fails or refuses.
    """

    @property
    def type(self) -> str:
        """The configured engine: `sqlite`, `libsql`, …"""

    @property
    def tenant(self) -> str | None:
        """The tenant that this adapter belongs to; None for the root database."""

    @property
    def capabilities(self) -> Capabilities: ...

    async def execute(self, sql: str, args: Sequence[Value] = ()) -> list[dict[str, Value]]:
        """Run one statement of any kind and return its rows as dictionaries.

        A statement that writes is committed when this returns.
        """

    async def execute_one(self, sql: str, args: Sequence[Value] = ()) -> dict[str, Value] | None:
        """Like `execute`, but only the first row, or None."""

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        """Like `execute`, with column names and counts."""

    async def query(
        self,
        sql: str,
        args: Sequence[Value] = (),
        *,
        point: bool = False,
        fresh: bool = False,
        max_bytes: int | None = None,
    ) -> list[tuple[Value, ...]]:
        """Run one reading statement and return bare rows: the fast path for reads.

        A read sees every write of this adapter that was acknowledged before, and the state that a
        `ReadDemand` of the task demands. `fresh` asks for the writes of others as well, which a
        replica may not have yet: for reads that a decision depends on.

        `point` promises a bounded read (by key, or with a small limit), which an embedded engine
        runs on the event loop; anything else runs in a thread. A statement that would write is
        refused with `InvalidStatement`.

        `max_bytes` is for statements that put long texts together: an embedded engine stops with
        `ResultTooLarge` before one is longer. Others do not look.
        """

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        """Run the steps as one transaction and return one result for each, guards included.

        Raises `GuardFailed` when a guard does not hold. Whatever is raised, nothing was written,
        unless it is an `OutcomeUnknown`.
        """

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        """Run several batches in order, each all or nothing on its own.

        An engine shares commits between them where it can. A batch that fails leaves its error
        in its place and does not disturb the others; this method itself raises only
        `DatabaseClosed` and `TransactionMisuse`.
        """

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `fn` inside an interactive transaction and return what it returns.

        Commits when `fn` returns, rolls back when it raises or is cancelled. Only where
        `capabilities.interactive_transactions`; `TransactionMisuse` when nested.
        """

    async def open_session(self, limits: SessionLimits | None = None) -> Session:
        """Open a dedicated connection, where the engine has them; close it after use.

        Raises `DatabaseError` where it has none, such as for a database in memory.
        """

    def position(self) -> int | None:
        """The position in the database's log of everything that this adapter wrote or read.

        For a `ReadDemand`, here or on another host. None if it is unknown, and for an engine
        without replicas, where each read sees everything that was committed before.
        """

    def data_version(self) -> int | None:
        """A number that differs once any process has committed.

        Cheaper than any read, for callers that ask many times a second. None where only reads can
        tell.
        """

    def when_written(self, call: Callable[[], None]) -> bool:
        """Have `call` called once, on the event loop, when somebody writes from now on.

        In whatever process, and perhaps when nobody does. What was being written before this is
        not told of, and what is told of may be committed seconds later: it is for who asks for
        `data_version` less often while nothing happens. False where nothing tells of that.
        """

    def statistics(self) -> dict[str, float]:
        """Numbers that the engine keeps of itself, by name; which ones depends on the engine."""

    def get_raw_client(self) -> Any:
        """The driver's own object, for what this seam does not cover."""

    async def close(self) -> None:
        """Finish running calls and release everything. Idempotent."""


class ReadsAtOnce(Protocol):
    """Further methods of an adapter with `capabilities.reads_at_once`: reads without `await`."""

    def query_now(
        self, sql: str, args: Sequence[Value] = (), max_bytes: int | None = None
    ) -> list[tuple[Value, ...]] | None:
        """The result of `Adapter.query` for a `point`; None if that has to wait: then call `query`.

        Raises the same errors.
        """


class Bells(Protocol):
    """Further methods of an adapter with `capabilities.bells`: signals between processes.

    They go to all processes with the same database open, on any host. A signal may be lost, and
    comes a little later than a read would see its cause: it speeds up the polling that happens
    anyway.
    """

    def hear(self, topic: str, call: Callable[[], None] | None) -> None:
        """Have `call` called on the event loop when another process signals; None ends that.

        It is also called when a signal may have been lost.
        """

    def ring(self, topic: str) -> None:
        """Signal the others soon, and not more often than every few milliseconds.

        Costs microseconds and never waits. A failure is not reported.
        """


class DatabaseService(Protocol):
    """The service that `ctx.get_plugin("@buntime/plugin-database")` returns."""

    def get_root_adapter(self, type: str | None = None) -> Adapter:
        """The root database of an engine, or of the default engine.

        Raises `DatabaseError` when no such engine is configured.
        """

    async def get_adapter(self, type: str | None = None, tenant: str | None = None) -> Adapter:
        """The database of a tenant; without a tenant the root database."""

    async def open_adapter(self, name: str, options: Mapping[str, Any]) -> Adapter:
        """A root database of the caller's own, described like an entry of `adapters`.

        `name` is that of the caller, for metrics and messages; it is closed with the service.
        Raises `ValueError` for wrong options, `DatabaseUnavailable` when it cannot be opened.
        """

    def get_default_type(self) -> str:
        """The engine that is used when none is named."""

    def get_available_types(self) -> list[str]:
        """The configured engines, in the order of the configuration."""

    async def close(self) -> None:
        """Close every adapter. Errors are gathered, not stopped at."""
