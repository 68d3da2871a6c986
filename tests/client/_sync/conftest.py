# Made by scripts/unasync from _async/conftest.py: change that one.
"""The client, and the same behind a proxy."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from buntime_keyval import Kv


@pytest.fixture
def kv(api: str) -> Iterator[Kv]:
    """A client of an empty store."""
    with Kv(api) as client:
        yield client
