"""Dialects that others bring: found by the name that an adapter says, or refused."""

from __future__ import annotations

import importlib.metadata
import os
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.engines.sqlite.adapter import CAPABILITIES
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.feature import Feature, Part, migrate_features
from buntime_plugin_keyval.storage.dialects import registry
from buntime_plugin_keyval.storage.dialects.registry import SQLITE, UnknownDialect, dialect_of
from keyval.engines import ODD
from keyval.service.world import FAST, LOGGER, World
from support.api import api_of
from support.live import live_server
from support.packages import install


class Spoken(SqliteAdapter):
    """An adapter of a dialect that nobody speaks."""

    capabilities = CAPABILITIES._replace(dialect="spoken")


async def test_a_dialect_that_nobody_speaks_is_named(tmp_path: Path) -> None:
    adapter = Spoken(str(tmp_path / "kv.db"), options=FAST)
    message = "does not speak spoken, the dialect of the engine sqlite: use another engine, or"
    with pytest.raises(UnknownDialect, match=message):
        Store(adapter, logger=LOGGER)
    await adapter.close()


async def test_what_is_installed_as_a_dialect_has_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("spoken", "json:loads", registry.ENTRY_POINTS)
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [point])
    registry._installed.cache_clear()
    adapter = Spoken(str(tmp_path / "kv.db"), options=FAST)
    with pytest.raises(UnknownDialect, match="json:loads is not a dialect"):
        dialect_of(adapter)
    await adapter.close()


@pytest.mark.engines("odd")
async def test_one_that_is_installed_is_found_by_its_name(world: World) -> None:
    assert world.store.sql.name == "odd"
    assert world.store.sql._fields == SQLITE._fields
    await world.kv.set(["a"], 1)
    await world.kv.set(["b"], 2)
    first, second = await world.kv.changes()
    assert second.seq > first.seq + 1  # it leaves numbers out


@pytest.mark.engines("odd")
async def test_a_feature_without_tables_for_a_dialect_says_so(world: World, tmp_path: Path) -> None:
    (tmp_path / "sqlite").mkdir()
    feature = Feature("tally", lambda ground: Part(), migrations=tmp_path)
    with pytest.raises(UnknownDialect, match="tally has no migrations for odd"):
        await migrate_features(world.store.adapter, 0, [feature])


@pytest.mark.slow
def test_a_host_on_an_engine_with_a_dialect_of_its_own(tmp_path: Path) -> None:
    site = install(ODD, tmp_path)
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    adapters = [{"type": "odd", "path": "kv.db"}]
    plugins = [["@buntime/plugin-database", {"adapters": adapters}], "@buntime/plugin-keyval"]
    with (
        live_server(tmp_path, {"plugins": plugins}, {"PYTHONPATH": path}, forked=False) as server,
        api_of(server.api) as api,
    ):
        api.put("a/b", {"n": 1})
        assert api.value("a", "b") == {"n": 1}
        assert api.keys(prefix=["a"]) == [["a", "b"]]
    assert (tmp_path / "kv.db").exists()
