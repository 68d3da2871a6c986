"""One fresh store for each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from buntime_plugin_keyval.kv import Kv
from keyval.service.world import FakeClock, World, open_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with open_world(tmp_path / "kv.db") as opened:
        yield opened


@pytest.fixture
def kv(world: World) -> Kv:
    return world.kv


@pytest.fixture
def clock(world: World) -> FakeClock:
    return world.clock
