"""A second store on the file of the first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from keyval.service.world import World, open_world


@pytest.fixture
async def other(world: World, tmp_path: Path) -> AsyncIterator[World]:
    """A second process on the same file, as far as the store can tell."""
    async with open_world(tmp_path / "kv.db", world.clock) as opened:
        yield opened
