"""Commits of two workers at once have one order, and their versionstamps tell it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from keyval.engines import Engine
from keyval.service.asking import Api, open_api
from keyval.service.test_concurrency import (
    test_readers_that_list_behind_their_last_key_miss_nothing,
)
from support.live import live_server

__all__ = ["test_readers_that_list_behind_their_last_key_miss_nothing"]


@pytest.fixture
async def api(engine: Engine, tmp_path: Path) -> AsyncIterator[Api]:
    with live_server(tmp_path, engine.host_config({}, one_view=True), workers=2) as server:
        async with open_api([server.api]) as opened:
            yield opened
