"""The adapter against the cases for every adapter, on a real server."""

from __future__ import annotations

import pytest
from buntime_database_conformance import CASES, Case, run_case
from database.postgres.support import postgres_target
from support.postgres import Postgres

APPLICABLE = [case for case in CASES if not case.missing(postgres_target("postgres", ""))]


@pytest.mark.parametrize("case", APPLICABLE, ids=lambda case: case.name)
async def test_conformance(case: Case, postgres: Postgres) -> None:
    await run_case(case, postgres_target("postgres", postgres.url))
