"""Requests to a database that has no sessions, such as one on a server: by its adapter alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

from buntime_database import (
    Adapter,
    Column,
    MoreThanAsked,
    ResultSet,
    ResultTooLarge,
    SessionLimits,
    SessionResult,
    Statement,
    StatementTimeout,
    Value,
)

from buntime_plugin_database.shared.parameters import InvalidArguments, bind, parameters_of
from buntime_plugin_database.shared.permissions import authorize
from buntime_plugin_database.shared.statements import classify

MAX_PARAMETERS = 32_766
_VALUE_OVERHEAD_BYTES = 16


class Bound(NamedTuple):
    """A statement with its arguments."""

    sql: str
    args: Sequence[Value] = ()
    named: Mapping[str, Value] | None = None


class PlainConnection:
    """Statements one by one, each for itself; what a request needs of a session."""

    autocommit = True

    def __init__(self, adapter: Adapter, limits: SessionLimits, *, fresh: bool = False) -> None:
        """`fresh` is for reads that a write rests on; their results have no columns."""
        self._adapter = adapter
        self._limits = limits
        self._fresh = fresh

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
        statement = self.prepare(Bound(sql, args, named))
        started = perf_counter()
        if classify(statement.sql) == "read":
            result = await self._read(statement)
            found = self.limited(result, max_rows, perf_counter() - started)
            if max_bytes is not None and found.size > max_bytes:
                raise MoreThanAsked(f"the rows are larger than {max_bytes} bytes")
            return found
        # Never given up: nobody would know whether it was carried out.
        result = await self._adapter.execute_result(*statement)
        return self.limited(result, max_rows, perf_counter() - started)

    def prepare(self, bound: Bound) -> Statement:
        """A statement as adapters take it. Raises `InvalidStatement`."""
        sql, args = bound.sql, bound.args
        if bound.named:
            sql, args = _by_position(sql, args, bound.named)
        authorize(sql, readonly=self._limits.readonly, schema=self._limits.schema)
        return Statement(sql, args)

    def limited(
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

    async def _read(self, statement: Statement) -> ResultSet:
        try:
            async with asyncio.timeout(self._limits.statement_seconds):
                if self._fresh:
                    rows = await self._adapter.query(*statement, fresh=True)
                    return ResultSet((), rows, 0)
                return await self._adapter.execute_result(*statement)
        except TimeoutError as error:
            limit = self._limits.statement_seconds
            raise StatementTimeout(f"the statement ran longer than {limit:g} s") from error


def _by_position(
    sql: str, args: Sequence[Value], named: Mapping[str, Value]
) -> tuple[str, Sequence[Value]]:
    """The statement with numbers in the place of names, and its arguments in their order."""
    found = parameters_of(sql)
    if any(not 1 <= place <= MAX_PARAMETERS for _, place in found):
        raise InvalidArguments(f"parameters have numbers from 1 to {MAX_PARAMETERS}")
    names: list[str | None] = [None] * max((place for _, place in found), default=0)
    pieces: list[str] = []
    end = 0
    for token, place in found:
        if token["name"] != "?":
            names[place - 1] = token["name"]
        pieces += [sql[end : token.start()], f"?{place}"]
        end = token.end()
    return "".join([*pieces, sql[end:]]), bind(names, args, named)


def _size(row: tuple[Value, ...]) -> int:
    texts = sum(len(value) for value in row if isinstance(value, str | bytes))
    return _VALUE_OVERHEAD_BYTES * len(row) + texts
