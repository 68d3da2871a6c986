"""The adapter against the cases for every adapter, on real servers, over both transports."""

from __future__ import annotations

from functools import partial

import pytest
from buntime_database_conformance import CASES, Case, EngineUnderTest, Need, run_case
from buntime_plugin_database.engines.libsql.adapter import CAPABILITIES
from database.libsql.support import libsql_target
from support.sqld import Sqld

WAYS = ["one server", "with a replica", "by websocket", "by websocket, with a replica"]


def target(way: str, pair: list[Sqld]) -> EngineUnderTest:
    urls = [server.url for server in pair]
    if "websocket" in way:
        urls = [url.replace("http://", "ws://") for url in urls]
    return libsql_target(way, urls if "replica" in way else urls[:1])


def applicable(way: str) -> list[Case]:
    unopened = partial(pytest.fail, "opened")
    like = EngineUnderTest(
        way,
        CAPABILITIES,
        unopened,
        one_view="replica" not in way,
        losing_database=unopened,
    )
    return [case for case in CASES if not case.missing(like)]


@pytest.mark.parametrize(
    ("way", "case"),
    [pytest.param(way, case, id=f"{way}: {case.name}") for way in WAYS for case in applicable(way)],
)
async def test_conformance(way: str, case: Case, pair: list[Sqld]) -> None:
    await run_case(case, target(way, pair))


def test_what_does_not_apply_is_known() -> None:
    left_out = [case for case in CASES if case not in applicable("one server")]
    needs = {Need.INTERACTIVE_TRANSACTIONS, Need.CASEFOLD, Need.READS_AT_ONCE}
    needs |= {Need.NO_ROWS_OF_BATCHES}
    assert left_out == [case for case in CASES if needs & case.needs]
    with_a_replica = [case for case in CASES if case not in applicable("with a replica")]
    needs |= {Need.ONE_VIEW, Need.SCHEMA_AT_ONCE}
    assert with_a_replica == [case for case in CASES if needs & case.needs]
