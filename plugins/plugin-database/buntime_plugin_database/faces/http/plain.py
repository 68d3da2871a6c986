"""Requests to a database without sessions, such as one on a server: by its adapter alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

from buntime_database import (
    Adapter,
    Column,
    DatabaseUnavailable,
    MoreThanAsked,
    ResultSet,
    ResultTooLarge,
    SessionLimits,
    SessionResult,
    Statement,
    StatementTimeout,
    Value,
)

from buntime_plugin_database.faces.families import family_of
from buntime_plugin_database.faces.large import WrittenWithoutResult

_VALUE_OVERHEAD_BYTES = 16
_SIGN_OF_LIFE_SECONDS = 1.0


class Bound(NamedTuple):
    """A statement with its arguments."""

    sql: str
    args: Sequence[Value] = ()
    named: Mapping[str, Value] | None = None


class PlainConnection:
    """Single statements, each by itself; the part of a session that a request needs."""

    autocommit = True

    def __init__(self, adapter: Adapter, limits: SessionLimits, *, fresh: bool = False) -> None:
        """`fresh` is for reads that a write rests on; their results have no columns."""
        self._adapter = adapter
        self._limits = limits
        self._fresh = fresh
        self._foreign: frozenset[str] | None = None
        self.family = family_of(adapter)

    async def execute(
        self,
        sql: str,
        args: Sequence[Value] = (),
        named: Mapping[str, Value] | None = None,
        *,
        max_rows: int | None = None,
        max_bytes: int | None = None,
    ) -> SessionResult:
        """Run exactly one statement. Raises `DatabaseError`; for `max_bytes` see `Session`."""
        statement = await self.prepare(Bound(sql, args, named))
        started = perf_counter()
        if self.family.reads(statement.sql):
            return await self._read_limited(statement, max_rows, max_bytes, started)
        # Never interrupted: its outcome would be unknown.
        result = await self._adapter.execute_result(*statement)
        return self.written(result, max_rows, perf_counter() - started)

    async def ask(
        self, sql: str, args: Sequence[Value] = (), *, max_bytes: int | None = None
    ) -> SessionResult:
        """Run a query of this plugin, which may use tables that SQL from outside must not."""
        return await self._read_limited(Statement(sql, args), None, max_bytes, perf_counter())

    def gives_back(self, sql: str) -> bool:
        """Whether a statement may return rows that it writes."""
        return "returning" in sql.lower() and not self.family.reads(sql)

    async def prepare(self, bound: Bound) -> Statement:
        """A statement as adapters take it. Raises `InvalidStatement`."""
        statement = Statement(bound.sql, bound.args)
        if bound.named:
            statement = self.family.by_position(bound.sql, bound.args, bound.named)
        self.family.authorize(
            statement.sql,
            readonly=self._limits.readonly,
            schema=self._limits.schema,
            foreign=await self._foreign_names(),
        )
        return statement

    async def _foreign_names(self) -> frozenset[str] | None:
        """Schemas that a tenant must not use."""
        if self.family.foreign is None or self._adapter.tenant is None:
            return None
        if self._foreign is None:
            rows = (await self.ask(self.family.foreign)).rows
            self._foreign = frozenset(str(name) for (name,) in rows)
        return self._foreign

    def written(
        self, result: ResultSet, max_rows: int | None, seconds: float = 0.0
    ) -> SessionResult:
        """The returned rows of a write, within the limits. Raises `WrittenWithoutResult`."""
        try:
            return self._limited(result, max_rows, seconds)
        except ResultTooLarge as error:
            raise WrittenWithoutResult(error) from error

    def _limited(
        self, result: ResultSet, max_rows: int | None, seconds: float = 0.0
    ) -> SessionResult:
        """The result within the limits. Raises `ResultTooLarge`."""
        rows = result.rows if max_rows is None else result.rows[:max_rows]
        size = sum(_size(row) for row in rows)
        if size > self._limits.max_bytes:
            raise ResultTooLarge(f"the rows are larger than {self._limits.max_bytes} bytes")
        return SessionResult(
            tuple(Column(name, None) for name in result.columns),
            rows,
            result.rowcount,
            result.lastrowid,
            len(rows) < len(result.rows),
            seconds,
            size,
        )

    async def _read_limited(
        self, statement: Statement, max_rows: int | None, max_bytes: int | None, started: float
    ) -> SessionResult:
        result = await self._read(statement)
        found = self._limited(result, max_rows, perf_counter() - started)
        if max_bytes is not None and found.size > max_bytes:
            raise MoreThanAsked(f"the rows are larger than {max_bytes} bytes")
        return found

    async def _read(self, statement: Statement) -> ResultSet:
        try:
            async with asyncio.timeout(self._limits.statement_seconds):
                if self._fresh:
                    rows = await self._adapter.query(*statement, fresh=True)
                    return ResultSet((), rows, 0)
                return await self._adapter.execute_result(*statement)
        except TimeoutError as error:
            limit = self._limits.statement_seconds
            if not await self._is_alive():
                raise DatabaseUnavailable(f"the database gave no answer in {limit:g} s") from error
            raise StatementTimeout(f"the statement ran longer than {limit:g} s") from error

    async def _is_alive(self) -> bool:
        """Whether the server answers at all: it may hang, and no statement is to blame for that."""
        try:
            async with asyncio.timeout(_SIGN_OF_LIFE_SECONDS):
                await self._adapter.query("SELECT 1", fresh=True)
        except (TimeoutError, DatabaseUnavailable):
            return False
        return True


def _size(row: tuple[Value, ...]) -> int:
    texts = sum(len(value) for value in row if isinstance(value, str | bytes))
    return _VALUE_OVERHEAD_BYTES * len(row) + texts
