"""The adapter against the cases for every adapter, on a real node."""

from __future__ import annotations

from functools import partial

import pytest
from buntime_database_conformance import CASES, Case, EngineUnderTest, Need, run_case
from buntime_plugin_database.engines.rqlite.adapter import CAPABILITIES
from database.rqlite.support import rqlite_target
from support.rqlite import Rqlited

_UNOPENED = partial(pytest.fail, "opened")
_LIKE = EngineUnderTest("rqlite", CAPABILITIES, _UNOPENED, losing_database=_UNOPENED)
APPLICABLE = [case for case in CASES if not case.missing(_LIKE)]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in APPLICABLE])
async def test_conformance(case: Case, node: Rqlited) -> None:
    await run_case(case, rqlite_target("rqlite", node))


def test_what_does_not_apply_is_known() -> None:
    left_out = [case for case in CASES if case not in APPLICABLE]
    needs = {Need.INTERACTIVE_TRANSACTIONS, Need.CASEFOLD, Need.READS_AT_ONCE}
    needs |= {Need.RETURNING, Need.ROWS_OF_BATCHES}
    assert left_out == [case for case in CASES if needs & case.needs]
