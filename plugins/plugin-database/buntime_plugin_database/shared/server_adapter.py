"""The part of an adapter that is the same for every server: it has a writer, and a way to read.

There are no sessions, and no interactive transactions but where the engine ends those of somebody
who has gone away: others wait for them.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, NoReturn, TypeVar

from buntime_database import (
    Batch,
    DatabaseError,
    Guard,
    InvalidStatement,
    ResultSet,
    SessionLimits,
    SessionsNotSupported,
    Statement,
    Transaction,
    TransactionMisuse,
    Value,
)

from buntime_plugin_database.shared.executing import Executing
from buntime_plugin_database.shared.grouping import BatchOutcome
from buntime_plugin_database.shared.server_writes import ServerWrites
from buntime_plugin_database.shared.statements import classify
from buntime_plugin_database.shared.vitals import Vitals

IDLE_SECONDS = 2.0
"""Seconds after which an unused server is asked for its health."""
CHECK_SECONDS = 2.0

T = TypeVar("T")


class ServerAdapter(Executing):
    """A database on servers; the rest of `Adapter` is the engine's."""

    writer: ServerWrites[Any]
    """What commits batches."""

    def __init__(self, kind: str, name: str) -> None:
        """`kind` is the word for such a server in messages, `name` that of this one."""
        self._kind = kind
        self._vitals = Vitals(name)

    @abstractmethod
    async def _read(
        self, sql: str, args: Sequence[Value], *, fresh: bool, named: bool
    ) -> ResultSet:
        """Run a reading statement; with `named` its result names the columns."""

    @abstractmethod
    async def _try_writing(self) -> None:
        """Commit nothing, to see whether the server would. Raises `DatabaseError`."""

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        if self._reads(sql):
            return await self._observed(sql, args, fresh=False, named=True)
        (result,) = await self.batch([Statement(sql, args)])
        return result

    async def query(
        self,
        sql: str,
        args: Sequence[Value] = (),
        *,
        point: bool = False,  # noqa: ARG002 - all reads cost a round trip
        fresh: bool = False,
        max_bytes: int | None = None,  # noqa: ARG002 - what comes has been read
    ) -> list[tuple[Value, ...]]:
        if not self._reads(sql):
            raise InvalidStatement("query() only reads: use execute() or batch() to write")
        return (await self._observed(sql, args, fresh=fresh, named=False)).rows

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        (outcome,) = await self.batch_each([Batch(steps)])
        if isinstance(outcome, DatabaseError):
            raise outcome
        return outcome

    async def batch_each(self, batches: Sequence[Batch]) -> list[BatchOutcome]:
        outcomes = await self.writer.batch_each(batches)
        for outcome in outcomes:
            if isinstance(outcome, DatabaseError):
                self._vitals.failed("writes", outcome)
            else:
                self._vitals.worked("writes")
        return outcomes

    async def transaction(self, fn: Callable[[Transaction], Awaitable[T]]) -> T:  # noqa: ARG002 - the seam's
        """Refuse: `TransactionMisuse`, where the engine has no other."""
        raise TransactionMisuse(
            f"{self._kind} offers no interactive transactions here: use batch() with guards"
        )

    async def open_session(self, limits: SessionLimits | None = None) -> NoReturn:  # noqa: ARG002 - the seam's
        """Refuse: `SessionsNotSupported`, always."""
        raise SessionsNotSupported(
            f"{self._kind} has no sessions here: let clients connect to the server itself"
        )

    def data_version(self) -> None:
        """None: only the server could tell."""
        return None  # noqa: RET501 - a method without anything looks like one that was forgotten

    def when_written(self, call: Callable[[], None]) -> bool:  # noqa: ARG002 - the seam's
        """False: only the server could tell."""
        return False

    def is_current(self) -> bool:
        """Always: a server says itself when a tenant is gone."""
        return True

    def problem(self) -> str | None:
        """Why the server is unusable, judging by its last answers."""
        return self._vitals.problem()

    async def check(self) -> str | None:
        """The same; a server that fails, or was not used for a while, is asked first."""
        idle = monotonic() - self._vitals.answered_at > IDLE_SECONDS
        if idle or self._vitals.failing:
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    await self.query("SELECT 1", fresh=True)
                    if self._vitals.failing:
                        await self._try_writing()
            except TimeoutError:
                return f"no answer within {CHECK_SECONDS:g} s"
            except DatabaseError as error:
                return str(error)
        return self.problem()

    def _reads(self, sql: str) -> bool:
        """Whether a statement only reads. Raises `InvalidStatement`."""
        return classify(checked_text(sql)) == "read"

    async def _observed(
        self, sql: str, args: Sequence[Value], *, fresh: bool, named: bool
    ) -> ResultSet:
        try:
            result = await self._read(sql, args, fresh=fresh, named=named)
        except DatabaseError as error:
            self._vitals.failed("reads", error)
            raise
        self._vitals.worked("reads")
        return result


def checked_text(text: object) -> str:
    """Return a text that can be sent. Raises `InvalidStatement` for others, such as invalid
    Unicode.
    """
    if not isinstance(text, str):
        raise InvalidStatement(f"SQL is a text, not a {type(text).__name__}")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise InvalidStatement(f"a text is not Unicode: {error}") from error
    return text
