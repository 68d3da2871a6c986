"""Every adapter against the same cases, and the cases against adapters that are broken."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Adapter, Batch, DatabaseError, GuardFailed, ResultSet, Value
from buntime_database_conformance import (
    CASES,
    Case,
    EngineUnderTest,
    Need,
    OpenAdapter,
    run_all,
    run_case,
)
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.engines.sqlite.adapter import CAPABILITIES
from database.support import sqlite_target

ON_FILE = sqlite_target("sqlite on a file", "a file of each test's own")
IN_MEMORY = sqlite_target("sqlite in memory", ":memory:")


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.missing(ON_FILE)], ids=lambda case: case.name
)
async def test_sqlite_on_a_file(case: Case, tmp_path: Path) -> None:
    await run_case(case, sqlite_target("sqlite on a file", str(tmp_path / "test.db")))


@pytest.mark.parametrize(
    "case", [case for case in CASES if not case.missing(IN_MEMORY)], ids=lambda case: case.name
)
async def test_sqlite_in_memory(case: Case) -> None:
    await run_case(case, IN_MEMORY)


def test_what_does_not_apply_is_known() -> None:
    """A case that is left out silently would be no case at all."""
    left_out = {case.name for case in CASES if case.missing(ON_FILE)}
    lost = {case.name for case in CASES if Need.LOST_ANSWERS in case.needs}
    of_others = {"an_engine_without_transactions_says_so", "what_would_give_rows_is_refused"}
    assert left_out == of_others | lost
    assert lost
    left_out_in_memory = {case.name for case in CASES if case.missing(IN_MEMORY)}
    of_files = {Need.SEVERAL_CONNECTIONS, Need.ONE_VIEW, Need.READS_AT_ONCE}
    alone = {case.name for case in CASES if of_files & case.needs}
    assert left_out_in_memory == left_out | alone
    assert len({case.name for case in CASES}) == len(CASES)


class SingleStatements(SqliteAdapter):
    """Runs each step of a batch as if it were a batch, and ignores guards."""

    async def batch(self, steps: Sequence[Any]) -> list[ResultSet]:
        results = []
        for step in steps:
            (outcome,) = await super().batch_each([Batch([step])])
            if isinstance(outcome, GuardFailed):
                continue
            if isinstance(outcome, DatabaseError):
                raise outcome
            results += outcome
        return results


class StringsForIntegers(SqliteAdapter):
    async def query(
        self,
        sql: str,
        args: Sequence[Value] = (),
        *,
        point: bool = False,
        fresh: bool = False,
        max_bytes: int | None = None,
    ) -> list[tuple[Value, ...]]:
        rows = await super().query(sql, args, point=point, fresh=fresh, max_bytes=max_bytes)
        return [tuple(str(v) if isinstance(v, int) else v for v in row) for row in rows]


class NeverCounts(SqliteAdapter):
    async def execute_result(self, sql: str, args: Sequence[Value] = ()) -> ResultSet:
        return (await super().execute_result(sql, args))._replace(rowcount=0)


class StaysOpen(SqliteAdapter):
    async def close(self) -> None:
        pass


def broken(kind: type[SqliteAdapter]) -> EngineUnderTest:
    @asynccontextmanager
    async def database() -> AsyncIterator[OpenAdapter]:
        adapter = kind(":memory:")

        async def open_adapter() -> Adapter:
            return adapter

        yield open_adapter
        await SqliteAdapter.close(adapter)

    return EngineUnderTest(kind.__name__, CAPABILITIES, database, several_connections=False)


@pytest.mark.parametrize(
    ("kind", "caught_by"),
    [
        (SingleStatements, "a_failing_step_at_any_position_undoes_all"),
        (SingleStatements, "a_guard_that_fails_names_its_position"),
        (StringsForIntegers, "integers_up_to_64_bits"),
        (NeverCounts, "rowcount_counts_what_changed"),
        (StaysOpen, "a_closed_adapter_says_so"),
    ],
)
async def test_a_broken_adapter_is_found_out(kind: type[SqliteAdapter], caught_by: str) -> None:
    outcomes = await run_all([case for case in CASES if case.name == caught_by], broken(kind))
    assert [(outcome.case.name, outcome.status) for outcome in outcomes] == [(caught_by, "failed")]
    assert outcomes[0].detail.startswith("AssertionError: ")


async def test_running_all_tells_what_does_not_apply() -> None:
    outcomes = await run_all(CASES, IN_MEMORY)
    assert {outcome.status for outcome in outcomes} == {"passed", "not applicable"}
    details = {outcome.detail for outcome in outcomes if outcome.status == "not applicable"}
    assert "needs several connections to one database" in details
