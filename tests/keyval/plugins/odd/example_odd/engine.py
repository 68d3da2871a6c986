"""The engine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Annotated, Any, Self

import msgspec
from buntime_database import (
    Batch,
    DatabaseError,
    Guard,
    InvalidStatement,
    ResultSet,
    Session,
    SessionCursor,
    SessionLimits,
    SessionResult,
    Statement,
    Value,
)
from buntime_host import OptionError, option
from buntime_plugin_database.engines.sqlite import SqliteAdapter, SqliteOptions
from buntime_plugin_database.engines.sqlite.adapter import CAPABILITIES
from buntime_plugin_database.shared.engine import Completed, Engine, EngineOptions, Opening
from buntime_plugin_database.shared.tenants import NoTenants, Tenants

from .numbered import OtherStyle, for_sqlite


class OddOptions(EngineOptions, frozen=True):
    """An entry of `adapters`."""

    path: Annotated[str | None, option("The file")] = None

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        if not self.path:
            raise OptionError("path is required for odd adapter")
        return Completed(msgspec.structs.replace(self))


class OddSession:
    """A connection of one's own."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    async def execute(self, sql: str, *args: Any, **options: Any) -> SessionResult:
        return await self._session.execute(_translated(sql), *args, **options)

    async def open_cursor(self, sql: str, *args: Any, **options: Any) -> SessionCursor:
        return await self._session.open_cursor(_translated(sql), *args, **options)


class OddAdapter(SqliteAdapter):
    """A database that takes no other style than its own, and tells no number of a row."""

    capabilities = CAPABILITIES._replace(dialect="odd")

    def query(
        self, sql: str, args: Sequence[Value] = (), **options: Any
    ) -> Coroutine[Any, Any, list[tuple[Value, ...]]]:
        return super().query(_translated(sql), args, **options)

    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        return _without_rowid(await super().execute_result(_translated(sql), args))

    async def batch(self, steps: Sequence[Statement | Guard]) -> list[ResultSet]:
        (outcome,) = await self.batch_each([Batch(steps)])
        if isinstance(outcome, DatabaseError):
            raise outcome
        return outcome

    async def batch_each(self, batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        outcomes = await super().batch_each(
            [batch._replace(steps=[_step(step) for step in batch.steps]) for batch in batches]
        )
        return [
            outcome if isinstance(outcome, DatabaseError) else [*map(_without_rowid, outcome)]
            for outcome in outcomes
        ]

    async def open_session(self, limits: SessionLimits | None = None) -> Any:
        return OddSession(await super().open_session(limits))


def _translated(sql: str) -> str:
    try:
        return for_sqlite(sql)
    except OtherStyle as error:
        raise InvalidStatement(str(error)) from error


def _step(step: Statement | Guard) -> Statement | Guard:
    if isinstance(step, Guard):
        return step._replace(condition=_translated(step.condition))
    return step._replace(sql=_translated(step.sql))


def _without_rowid(result: ResultSet) -> ResultSet:
    return result._replace(lastrowid=None)


async def open_root(options: OddOptions, opening: Opening) -> OddAdapter:
    """Open the file."""
    path = opening.base_dir / (options.path or "")
    path.parent.mkdir(parents=True, exist_ok=True)
    sqlite = SqliteOptions(synchronous="off")
    return await asyncio.to_thread(OddAdapter, str(path), options=sqlite)


def tenants(options: OddOptions, root: OddAdapter, opening: Opening) -> Tenants:
    """None."""
    return NoTenants("The odd adapter has no tenants")


ENGINE = Engine("odd", OddOptions, open_root, tenants)
