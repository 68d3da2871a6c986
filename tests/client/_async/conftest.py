"""The client, and the same behind a proxy."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from buntime_keyval import AsyncKv, open_kv


@pytest.fixture(params=[pytest.param("server", marks=pytest.mark.slow), "file"])
async def kv(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncKv]:
    """An empty store, on a server and in this process."""
    if request.param == "server":
        where = request.getfixturevalue("api")
        options = None
    else:
        where = shutil.copy(request.getfixturevalue("new_store"), tmp_path / "store.db")
        options = request.getfixturevalue("short_times")
    async with open_kv(where, keyval=options) as client:
        yield client
