"""A database connection for the length of one request of the JSON API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import NamedTuple, Protocol

from buntime_database import (
    Adapter,
    DatabaseError,
    DatabaseService,
    MoreThanAsked,
    ResultTooLarge,
    Session,
    SessionLimits,
    SessionResult,
    SessionsNotSupported,
    Statement,
    Value,
)
from buntime_host import BadRequest, HttpError

from buntime_plugin_database.faces.errors import http_error
from buntime_plugin_database.faces.families import Family, family_of
from buntime_plugin_database.faces.http.plain import Bound, PlainConnection
from buntime_plugin_database.faces.large import Hand, answer_bytes
from buntime_plugin_database.shared.target import Target

MAX_AT_A_TIME = 64
"""Further requests wait: each session may need a thread."""


class SessionPart(Protocol):
    """The part of a session that a request uses."""

    @property
    def family(self) -> Family:
        """The SQL that the database speaks."""

    @property
    def autocommit(self) -> bool:
        """Whether no transaction is open."""

    async def execute(
        self,
        sql: str,
        args: Sequence[Value] = (),
        named: Mapping[str, Value] | None = None,
        *,
        max_rows: int | None = None,
    ) -> SessionResult:
        """Run exactly one statement. Raises `DatabaseError`."""

    async def ask(self, sql: str, args: Sequence[Value] = ()) -> SessionResult:
        """Run a query of this plugin, which may use tables that SQL from outside must not."""


Planner = Callable[[SessionPart], Awaitable[Sequence[Bound]]]
"""Reads the present state, and returns the statements to run."""


class RequestSessions:
    """Opens connections with the configured limits."""

    def __init__(self, service: DatabaseService, limits: SessionLimits) -> None:
        self._service = service
        self._limits = limits
        self._free = asyncio.Semaphore(MAX_AT_A_TIME)

    @asynccontextmanager
    async def open(
        self, target: Target, hand: Hand, *, readonly: bool
    ) -> AsyncIterator[SessionPart]:
        """A connection that is rolled back and closed at the end. Raises `DatabaseError`.

        Its results are in the hand of the request.
        """
        limits = self._limits._replace(readonly=readonly or target.readonly, schema=target.schema)
        async with self._free:
            adapter = await self._service.get_adapter(target.type, target.tenant)
            family = family_of(adapter)
            session = await _open_session(adapter, limits)
            if session is None:
                yield _InHand(PlainConnection(adapter, limits), family, hand)
                return
            try:
                yield _InHand(session, family, hand)
            finally:
                await session.close()

    async def write(
        self,
        target: Target,
        hand: Hand,
        plan: Planner,
        *,
        max_rows: int | None = None,
        numbered: bool = False,
    ) -> list[SessionResult]:
        """Run the plan's statements as one transaction, all or nothing.

        All results together are no larger than one may be. They belong to the request. Raises
        `DatabaseError`; with `numbered`, errors of a statement have its number.
        """
        limits = self._limits._replace(readonly=target.readonly, schema=target.schema)
        writing = _Writing(plan, limits, max_rows, numbered)
        async with self._free:
            adapter = await self._service.get_adapter(target.type, target.tenant)

            async def attempt(most: int | None) -> list[SessionResult]:
                session = await _open_session(adapter, limits)
                if session is None:
                    return await writing.by_adapter(adapter, hand)
                try:
                    return await writing.in_session(session, family_of(adapter), most)
                finally:
                    await session.close()

            return await hand.run_all(attempt)

    def engine(self, target: Target) -> str:
        """The engine that a target means."""
        return target.type or self._service.get_default_type()


class _Writing(NamedTuple):
    """What is written as one transaction, and what is told of it."""

    plan: Planner
    limits: SessionLimits
    max_rows: int | None
    """Most rows of each statement that are told."""
    numbered: bool
    """Whether errors of a statement say which it was."""

    async def in_session(
        self, session: Session, family: Family, most: int | None
    ) -> list[SessionResult]:
        """Raises `MoreThanAsked` where the results have more than `most` bytes."""
        results: list[SessionResult] = []
        size = 0
        await session.execute("BEGIN IMMEDIATE")
        for index, bound in enumerate(await self.plan(_Planning(session, family))):
            with _numbering(index, wanted=self.numbered):
                left = None if most is None else max(1, most - size)
                result = await session.execute(*bound, max_rows=self.max_rows, max_bytes=left)
                size += answer_bytes(result)
                if size > self.limits.max_bytes:
                    raise ResultTooLarge(
                        f"the rows of all statements are larger than {self.limits.max_bytes} bytes"
                    )
                if most is not None and size > most:
                    raise MoreThanAsked(f"the rows of all statements are larger than {most} bytes")
                results.append(result)
            if session.autocommit:
                raise BadRequest(
                    f"statement {index}: a batch is a transaction, and a statement has ended it",
                    code="TRANSACTION_ENDED",
                )
        await session.execute("COMMIT")
        return results

    async def by_adapter(self, adapter: Adapter, hand: Hand) -> list[SessionResult]:
        """The same in a batch, where there are no sessions."""
        connection = PlainConnection(adapter, self.limits, fresh=True)
        statements: list[Statement] = []
        for index, bound in enumerate(await self.plan(connection)):
            with _numbering(index, wanted=self.numbered):
                statements.append(await connection.prepare(bound))

        async def commit() -> list[SessionResult]:
            results = await adapter.batch(statements)
            return [connection.written(result, self.max_rows) for result in results]

        if any(connection.gives_back(statement.sql) for statement in statements):
            return await hand.written(commit, lambda given: sum(map(answer_bytes, given)))
        return await commit()


class _Planning:
    """A session, for a plan that depends on the present state."""

    def __init__(self, session: Session, family: Family) -> None:
        self.family = family
        self.execute = self.ask = session.execute
        self._session = session

    @property
    def autocommit(self) -> bool:
        return self._session.autocommit


class _InHand:
    """A connection whose results belong to a request."""

    def __init__(self, connection: Session | PlainConnection, family: Family, hand: Hand) -> None:
        self.family = family
        self._connection = connection
        self._hand = hand

    @property
    def autocommit(self) -> bool:
        return self._connection.autocommit

    async def execute(
        self,
        sql: str,
        args: Sequence[Value] = (),
        named: Mapping[str, Value] | None = None,
        *,
        max_rows: int | None = None,
    ) -> SessionResult:
        connection = self._connection

        async def run(most: int | None) -> SessionResult:
            return await connection.execute(sql, args, named, max_rows=max_rows, max_bytes=most)

        if not isinstance(connection, PlainConnection) or not connection.gives_back(sql):
            return await self._hand.run(run)
        return await self._hand.run(
            lambda most: self._hand.written(lambda: run(most), answer_bytes)
        )

    async def ask(self, sql: str, args: Sequence[Value] = ()) -> SessionResult:
        if not isinstance(self._connection, PlainConnection):
            return await self.execute(sql, args)
        ask = self._connection.ask
        return await self._hand.run(lambda most: ask(sql, args, max_bytes=most))


async def _open_session(adapter: Adapter, limits: SessionLimits) -> Session | None:
    """A session; None where there are none and a statement does not need one.

    An embedded database without sessions stays closed to requests: there only the permissions of
    a session keep SQL from outside in its place.
    """
    try:
        return await adapter.open_session(limits)
    except SessionsNotSupported:
        if adapter.capabilities.embedded:
            raise
        return None


@contextmanager
def _numbering(index: int, *, wanted: bool) -> Iterator[None]:
    """Add the number of the statement to an error."""
    try:
        yield
    except DatabaseError as error:
        if not wanted or isinstance(error, MoreThanAsked):  # which is tried again
            raise
        raise at_statement(index, http_error(error)) from error


def at_statement(index: int, error: HttpError) -> HttpError:
    """The error, with the number of its statement."""
    return type(error)(f"statement {index}: {error.message}", code=error.error_code)
