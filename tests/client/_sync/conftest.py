# Made by scripts/unasync from _async/conftest.py: change that one.
"""The client, and the same behind a proxy."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from buntime_keyval import Kv, open_kv_sync


@pytest.fixture(params=[pytest.param("server", marks=pytest.mark.slow), "file"])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kv]:
    """An empty store, on a server and in this process."""
    if request.param == "server":
        where = request.getfixturevalue("api")
        options = None
    else:
        where = shutil.copy(request.getfixturevalue("new_store"), tmp_path / "store.db")
        options = request.getfixturevalue("short_times")
    with open_kv_sync(where, keyval=options) as client:
        yield client
