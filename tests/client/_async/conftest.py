"""The client, and the same behind a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from buntime_keyval import AsyncKv


@pytest.fixture
async def kv(api: str) -> AsyncIterator[AsyncKv]:
    """A client of an empty store."""
    async with AsyncKv(api) as client:
        yield client
