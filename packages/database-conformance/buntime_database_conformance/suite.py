"""Cases, the engines that they run against, and running them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AbstractAsyncContextManager
from enum import Enum
from types import ModuleType
from typing import Literal, NamedTuple

from buntime_database import Adapter, Capabilities

OpenAdapter = Callable[[], Awaitable[Adapter]]
"""Opens one more adapter on the database of the case, as another process would."""

CASE_SECONDS = 30.0
"""A case that takes longer is stuck."""


class Need(Enum):
    """Features that an engine must have for a case to make sense."""

    INTERACTIVE_TRANSACTIONS = "interactive transactions"
    NO_INTERACTIVE_TRANSACTIONS = "an engine without interactive transactions"
    SEVERAL_CONNECTIONS = "several connections to one database"
    ONE_VIEW = "reads that see at once what other connections wrote"
    SCHEMA_AT_ONCE = "reads that know at once how the schema was changed"
    READS_AT_ONCE = "reads without waiting"
    CASEFOLD = "the SQL function casefold"
    RETURNING = "RETURNING"
    ROWS_OF_BATCHES = "rows of the steps of a batch"
    NO_ROWS_OF_BATCHES = "an engine whose batches give no rows"
    DEFERRED = "constraints that are checked at COMMIT"
    ROWIDS = "rowids"
    NUL_IN_TEXT = "NUL characters in text"
    LOST_ANSWERS = "a way between the adapter and its database on which answers are lost"
    SQLITE = "SQLite's dialect"


class EngineUnderTest(NamedTuple):
    """An engine under test."""

    name: str
    capabilities: Capabilities
    database: Callable[[], AbstractAsyncContextManager[OpenAdapter]]
    """Makes a fresh, empty database; at the end it closes whatever was opened on it."""
    several_connections: bool = True
    """False where an adapter is the only way to its database, as with a database in memory."""
    one_view: bool = True
    """False where reads may come from a replica: then only those that are `fresh` see it all."""
    losing_database: Callable[[], AbstractAsyncContextManager[OpenAdapter]] | None = None
    """The same, but the answer of every commit is lost the first time, after it was carried out.

    None for an engine inside the process: there the call itself is the answer, which can only be
    lost together with the process and its callers."""

    def has(self, need: Need) -> bool:
        """Whether the engine meets the need."""
        dialect = self.capabilities.dialect
        interactive = self.capabilities.interactive_transactions
        return {
            Need.INTERACTIVE_TRANSACTIONS: interactive,
            Need.NO_INTERACTIVE_TRANSACTIONS: not interactive,
            Need.SEVERAL_CONNECTIONS: self.several_connections,
            Need.ONE_VIEW: self.one_view and self.several_connections,
            # The first answer of a replica may still have the columns of before.
            Need.SCHEMA_AT_ONCE: self.one_view,
            Need.READS_AT_ONCE: self.capabilities.reads_at_once,
            Need.CASEFOLD: self.capabilities.casefold_function,
            Need.RETURNING: dialect != "mysql" and self.capabilities.rows_of_batches,
            Need.ROWS_OF_BATCHES: self.capabilities.rows_of_batches,
            Need.NO_ROWS_OF_BATCHES: not self.capabilities.rows_of_batches,
            Need.DEFERRED: dialect != "mysql",
            Need.ROWIDS: dialect == "sqlite",
            Need.NUL_IN_TEXT: dialect != "postgres",
            Need.LOST_ANSWERS: self.losing_database is not None,
            Need.SQLITE: dialect == "sqlite",
        }[need]


class Case(NamedTuple):
    """One behaviour that every adapter shows."""

    name: str
    run: Callable[[OpenAdapter], Awaitable[None]]
    needs: frozenset[Need]

    def missing(self, target: EngineUnderTest) -> list[str]:
        """What the engine lacks for this case; empty if the case applies."""
        return sorted(need.value for need in self.needs if not target.has(need))


class Outcome(NamedTuple):
    """The outcome of a case; `detail` is the error, or the missing feature."""

    case: Case
    status: Literal["passed", "failed", "not applicable"]
    detail: str = ""


def case(*needs: Need) -> Callable[[Callable[[OpenAdapter], Awaitable[None]]], Case]:
    """Make a case of the function, named like it."""

    def make(run: Callable[[OpenAdapter], Awaitable[None]]) -> Case:
        return Case(getattr(run, "__name__", repr(run)), run, frozenset(needs))

    return make


def collect(*modules: ModuleType) -> tuple[Case, ...]:
    """The cases that the modules define, in their order."""
    return tuple(
        value for module in modules for value in vars(module).values() if isinstance(value, Case)
    )


async def run_case(case: Case, target: EngineUnderTest) -> None:
    """Run one case on a database of its own. Raises the case's exceptions, or `TimeoutError`."""
    make = target.losing_database if Need.LOST_ANSWERS in case.needs else target.database
    if make is None:
        raise ValueError(f"the case does not apply to {target.name}")
    async with make() as open_adapter, asyncio.timeout(CASE_SECONDS):
        await case.run(open_adapter)


async def run_all(cases: Iterable[Case], target: EngineUnderTest) -> list[Outcome]:
    """Run the cases one after another and tell how each went."""
    outcomes = []
    for each in cases:
        missing = each.missing(target)
        if missing:
            outcomes.append(Outcome(each, "not applicable", "needs " + ", ".join(missing)))
            continue
        try:
            await run_case(each, target)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the outcome
            outcomes.append(Outcome(each, "failed", f"{type(error).__name__}: {error}"))
        else:
            outcomes.append(Outcome(each, "passed"))
    return outcomes
