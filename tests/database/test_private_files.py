"""Who can open the files of a database: their owner, and nobody else."""

from __future__ import annotations

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from buntime_plugin_database.service import open_service
from buntime_plugin_database.service.config import parse_config
from support.database import Api
from support.live import live_server

pytestmark = pytest.mark.slow

CONFIG = {
    "plugins": [
        [
            "@buntime/plugin-database",
            {
                "adapters": [{"type": "sqlite", "baseDir": "deep/data"}],
                "api": {"write": True},
                "tenancy": {"autoCreate": True},
            },
        ],
        "@buntime/plugin-keyval",
    ]
}


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("workers", [1, 2])
def test_all_that_a_server_makes(tmp_path: Path, workers: int) -> None:
    with live_server(tmp_path, CONFIG, workers=workers) as server, Api(server) as api:
        api.post("tenants", {"id": "made"}, 201)
        api.sql("CREATE TABLE t (x)", tenant="made")
        api.sql("CREATE TABLE t (x)", tenant="itself")
        api.client.put(f"{server.api}/keys/a", json=1).raise_for_status()
        found = modes(tmp_path / "deep")
        names = set(found)
        assert {f"data/{name}.db" for name in ("_default", "made", "itself")} <= names
        assert {"data/_default.db-wal", "data/_default.db-shm", "data/.tenants.lock"} <= names
        assert found.pop("data") == 0o700
        assert set(found.values()) == {0o600}, found
    assert stat.S_IMODE((tmp_path / "deep").stat().st_mode) == 0o700
    assert "opened by others" not in server.output


async def test_what_is_there_keeps_its_mode_and_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    for name in ("_default", "tenant"):
        (folder / f"{name}.db").touch(0o644)
    options = {
        "adapters": [{"type": "sqlite", "baseDir": str(folder)}],
        "tenancy": {"maxTenants": 1},
    }
    with caplog.at_level(logging.WARNING):
        service = await open_service(parse_config(options), tmp_path)
        for tenant in ("tenant", "other", "tenant", "other"):
            await service.create_tenant(tenant)
            await (await service.get_adapter(tenant=tenant)).execute("PRAGMA user_version = 1")
        await service.close()
    assert modes(folder)["_default.db"] == 0o644
    assert modes(folder)["other.db"] == 0o600
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert f"{folder}/_default.db can be opened by others than its owner (mode 0644)" in told[0]
    assert f"{folder}/tenant.db" in told[1]
