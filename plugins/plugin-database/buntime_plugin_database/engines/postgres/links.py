"""One connection, and the statements that are prepared on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

import asyncpg
from buntime_database import ResultSet

from buntime_plugin_database.engines.postgres.statements import Sql
from buntime_plugin_database.engines.postgres.values import Arguments, Rows, count, fit, reader

_COUNTED = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})


class Restart(Exception):
    """A transaction has to be run again: its prepared statements no longer fit."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason
        """The driver's exception."""


class _Prepared(NamedTuple):
    statement: Any
    types: Sequence[Any]
    columns: tuple[str, ...]
    read: Callable[[Sequence[Any]], Rows]


class Link:
    """One connection, and the statements that are prepared on it."""

    def __init__(self, connection: Any, keep: int, untyped: set[str]) -> None:
        """`untyped` are texts for whose parameters the server finds no types."""
        self.connection = connection
        self.used_at = monotonic()
        self._keep = keep
        self._untyped = untyped
        self._statements: OrderedDict[tuple[str, str], _Prepared] = OrderedDict()

    async def run(self, schema: str, sql: Sql, args: Arguments) -> ResultSet:
        """Run one statement, whose names are those of the schema.

        Raises `InvalidStatement`, the driver's exceptions, and inside a transaction `Restart`.
        """
        count(args, sql.parameters)
        while True:
            was_kept = (schema, sql.text) in self._statements
            try:
                result = await self._run(schema, sql, args)
            except (asyncpg.PostgresError, asyncpg.InternalClientError) as error:
                if not self._is_worth_another_try(sql, error, was_kept=was_kept):
                    raise
                if self.connection.is_in_transaction():
                    raise Restart(error) from error
            else:
                if sql.kind == "definition":
                    self._statements.clear()
                return result

    async def _run(self, schema: str, sql: Sql, args: Arguments) -> ResultSet:
        if sql.text in self._untyped:
            sent = fit(args, None)
            prepared = await self._prepared(schema, sql.cast(sent.casts))
        else:
            prepared = await self._prepared(schema, sql.text)
            sent = fit(args, prepared.types)
            if sent.casts:
                prepared = await self._prepared(schema, sql.cast(sent.casts))
        rows = prepared.read(await prepared.statement.fetch(*sent.values))
        word, *rest = prepared.statement.get_statusmsg().split()
        changed = int(rest[-1]) if word in _COUNTED else 0
        return ResultSet(prepared.columns, rows, changed)

    async def _prepared(self, schema: str, text: str) -> _Prepared:
        key = (schema, text)
        known = self._statements.get(key)
        if known is not None:
            self._statements.move_to_end(key)
            return known
        statement = await self.connection.prepare(text)
        columns = statement.get_attributes()
        prepared = _Prepared(
            statement,
            statement.get_parameters(),
            tuple(column.name for column in columns),
            reader(columns),
        )
        if self._keep:
            self._statements[key] = prepared
            if len(self._statements) > self._keep:
                self._statements.popitem(last=False)
        return prepared

    def _is_worth_another_try(self, sql: Sql, error: Exception, *, was_kept: bool) -> bool:
        if was_kept and (
            isinstance(error, asyncpg.OutdatedSchemaCacheError)
            or str(getattr(error, "sqlstate", ""))[:2] in ("0A", "42")
        ):
            self._statements.clear()  # the schema is another one since
            return True
        unknown = (asyncpg.IndeterminateDatatypeError, asyncpg.AmbiguousFunctionError)
        if isinstance(error, unknown) and sql.parameters and sql.text not in self._untyped:
            self._untyped.add(sql.text)
            return True
        return False
