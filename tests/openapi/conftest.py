"""The document of a host with all bundled plugins."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from buntime_host.testing import running_host

DATABASE = "@buntime/plugin-database"
PLUGINS = (
    DATABASE,
    "@buntime/plugin-keyval",
    "@buntime/plugin-proxy",
    "@buntime/plugin-gateway",
)


@pytest.fixture(scope="session")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return asyncio.run(_document(tmp_path_factory.mktemp("described")))


async def _document(folder: Path) -> dict[str, Any]:
    adapters = {"adapters": [{"type": "sqlite", "url": "sqlite://:memory:"}]}
    plugins = [(name, adapters) if name == DATABASE else name for name in PLUGINS]
    async with running_host(*plugins, folder=folder) as client:
        found = await client.get("/api/openapi.json")
    assert found.status_code == 200
    return dict(found.json())
