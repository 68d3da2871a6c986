"""Many clients at once on libSQL servers: against one host, and against two that share a store."""

# mypy: disable-error-code="no-redef"
# ruff: noqa: F403 - the tests are those of the embedded engine
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest
from database.libsql.support import wipe
from keyval.libsql.support import config_of
from keyval.service.asking import Api, open_api
from keyval.service.test_concurrency import *
from support.live import live_server
from support.sqld import Sqld


@pytest.fixture(scope="module", params=[1, 2], ids=["one host", "two hosts"])
def bases(
    request: pytest.FixtureRequest, pair: list[Sqld], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[str]]:
    """On the primary alone: these tests ask two hosts in turn and expect one view of the store."""
    asyncio.run(wipe([pair[0].url]))
    with ExitStack() as hosts:
        yield [
            hosts.enter_context(
                live_server(tmp_path_factory.mktemp("host"), config_of(pair[:1]))
            ).api
            for _ in range(int(request.param))
        ]


@pytest.fixture
async def api(bases: list[str]) -> AsyncIterator[Api]:
    async with open_api(bases) as opened:
        everything = [[name] for name in ("account", "counter", "gone", "list", "lock", "put")]
        await opened.ask("POST", "/keys/delete-batch", {"keys": everything})
        yield opened
