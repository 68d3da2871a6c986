"""The adapter against the cases for every adapter, on a real server, also behind a pooler."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from buntime_database_conformance import CASES, Case, Need, run_case
from database.postgres.support import postgres_target
from support.pgbouncer import running_pgbouncer
from support.postgres import Postgres

APPLICABLE = [case for case in CASES if not case.missing(postgres_target("postgres", ""))]
SAMPLE = APPLICABLE[::3]
"""What a pooler could change is how connections are used, not what SQL means."""


@pytest.fixture(scope="module")
def pooler(postgres: Postgres) -> Iterator[str]:
    with running_pgbouncer(postgres) as url:
        yield url


@pytest.mark.parametrize("case", APPLICABLE, ids=lambda case: case.name)
async def test_conformance(case: Case, postgres: Postgres) -> None:
    await run_case(case, postgres_target("postgres", postgres.url))


@pytest.mark.parametrize("case", SAMPLE, ids=lambda case: case.name)
async def test_conformance_behind_a_pooler_of_transactions(case: Case, pooler: str) -> None:
    await run_case(case, postgres_target("postgres by pgbouncer", pooler, statement_cache=0))


def test_what_does_not_apply_is_known() -> None:
    left_out = [case for case in CASES if case not in APPLICABLE]
    needs = {Need.NO_INTERACTIVE_TRANSACTIONS, Need.CASEFOLD, Need.ROWIDS, Need.SQLITE}
    needs |= {Need.NUL_IN_TEXT, Need.READS_AT_ONCE, Need.NO_ROWS_OF_BATCHES}
    assert left_out == [case for case in CASES if needs & case.needs]
