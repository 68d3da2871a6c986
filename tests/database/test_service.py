"""The service that hands adapters out, and the hooks of the plugin."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import Mock

import pytest
from buntime_database import DatabaseClosed, DatabaseError, DatabaseUnavailable
from buntime_host import OptionError, Workers
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.engines.sqlite.engine import ENGINE
from buntime_plugin_database.plugin import DatabasePlugin
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import parse_config
from buntime_plugin_database.service.engines import Engines

SQLITE = {"type": "sqlite", "baseDir": "data"}
MYSQL = {"type": "mysql", "url": "mysql://localhost/x"}
FAILING = {"type": "failing", "url": ":memory:"}


async def _fail(_: object, __: object) -> NoReturn:
    raise OptionError("this one never opens")


async def open_at(folder: Path, *adapters: dict[str, Any], **options: Any) -> Databases:
    engines = Engines(ENGINE._replace(name="failing", open_root=_fail))
    config = parse_config({"adapters": list(adapters) or [SQLITE], **options}, engines=engines)
    return await open_service(config, folder)


async def test_relative_paths_start_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    service = await open_at(tmp_path)
    await service.get_root_adapter().execute("CREATE TABLE t (x)")
    await service.close()
    assert (tmp_path / "data" / "_default.db").stat().st_size > 0


async def test_a_root_adapter_is_the_same_each_time(tmp_path: Path) -> None:
    service = await open_at(tmp_path)
    adapter = service.get_root_adapter()
    assert service.get_root_adapter("sqlite") is adapter
    assert await service.get_adapter() is adapter
    assert await service.get_adapter("sqlite", "") is adapter
    assert (adapter.type, adapter.tenant) == ("sqlite", None)
    assert service.get_default_type() == "sqlite"
    await service.close()


async def test_an_unknown_type_names_those_that_there_are(tmp_path: Path) -> None:
    service = await open_at(tmp_path)
    message = 'Adapter type "mysql" not configured. Available: sqlite'
    for engine in ("mysql", "nonsense"):
        with pytest.raises(DatabaseError, match=message.replace("mysql", engine)):
            service.get_root_adapter(engine)
        with pytest.raises(DatabaseError, match=message.replace("mysql", engine)):
            await service.get_adapter(engine, "tenant")
    await service.close()


async def test_types_are_listed_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    file = {"type": "libsql", "urls": ["file:x.db"]}
    memory = ENGINE._replace(name="memory")
    entries = [{"type": "memory", "url": ":memory:"}, {**SQLITE, "default": True}, file]
    config = parse_config({"adapters": entries}, engines=Engines(memory))
    service = await open_service(config, tmp_path)
    assert service.get_available_types() == ["memory", "sqlite", "libsql"]
    assert service.get_default_type() == "sqlite"
    await service.close()


@pytest.mark.parametrize("name", ["mysql", "mariadb"])
async def test_an_engine_that_there_is_not(name: str, tmp_path: Path) -> None:
    with pytest.raises(OptionError) as raised:
        await open_at(tmp_path, {**MYSQL, "type": name})
    assert str(raised.value) == (
        f"The {name} adapter is not available in this version: there is no engine for MySQL and"
        " MariaDB, use postgres or another one"
    )


async def test_what_was_opened_is_closed_when_a_later_one_fails(tmp_path: Path) -> None:
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(OptionError, match="never opens"):
        await open_at(tmp_path, SQLITE, FAILING)
    assert (tmp_path / "data" / "_default.db").exists()  # it was open, and is no longer
    assert not (tmp_path / "data" / "_default.db-wal").exists()
    assert len(os.listdir("/dev/fd")) == before


async def test_a_failure_to_close_does_not_hide_why_opening_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    close = SqliteAdapter.close

    async def close_badly(self: SqliteAdapter) -> None:
        await close(self)
        raise OSError("disk on fire")

    monkeypatch.setattr(SqliteAdapter, "close", close_badly)
    with pytest.raises(OptionError, match="never opens") as raised:
        await open_at(tmp_path, SQLITE, FAILING)
    assert raised.value.__notes__ == ["closing what was open failed as well: disk on fire"]


async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file, not a folder")
    with pytest.raises(DatabaseUnavailable) as raised:
        await open_at(tmp_path)
    path = tmp_path / "data" / "_default.db"
    assert str(raised.value).startswith(f"cannot create the folder of database {path}: ")


async def test_closing_tries_all_and_tells_every_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await open_at(tmp_path, tenancy={"autoCreate": True})
    adapters = [await service.get_adapter(None, tenant) for tenant in ("", "a", "b")]
    close = SqliteAdapter.close

    async def close_badly(self: SqliteAdapter) -> None:
        await close(self)
        if self.tenant != "a":
            raise OSError(f"cannot close {self.tenant}")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteAdapter, "close", close_badly)
        with pytest.raises(ExceptionGroup, match="closing databases") as raised:
            await service.close()
    assert [str(e) for e in raised.value.exceptions] == ["cannot close b", "cannot close None"]
    for adapter in adapters:
        with pytest.raises(DatabaseClosed):
            await adapter.execute("SELECT 1")
    await service.close()


async def test_a_closed_service_hands_nothing_out(tmp_path: Path) -> None:
    service = await open_at(tmp_path, tenancy={"autoCreate": True})
    await service.close()
    await service.close()
    with pytest.raises(DatabaseClosed):
        service.get_root_adapter()
    with pytest.raises(DatabaseClosed):
        await service.get_adapter(None, "tenant")
    with pytest.raises(DatabaseClosed):
        await service.create_tenant("tenant")
    assert not (tmp_path / "data" / "tenant.db").exists()


def context(folder: Path, options: dict[str, Any]) -> Any:
    logger = logging.getLogger("test")
    return Mock(config=options, environ={}, base_dir=folder, logger=logger, workers=Workers.alone())


async def test_the_plugin_from_start_to_shutdown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = DatabasePlugin({})
    assert plugin.provides() is None
    with caplog.at_level(logging.INFO):
        await plugin.on_init(context(tmp_path, {"adapters": [SQLITE]}))
    assert "Databases open: sqlite (default sqlite)" in caplog.text
    service = plugin.provides()
    assert service is not None
    adapter = service.get_root_adapter()
    await plugin.on_shutdown()
    assert plugin.provides() is None
    with pytest.raises(DatabaseClosed):
        await adapter.execute("SELECT 1")
    await plugin.on_shutdown()


async def test_a_plugin_that_could_not_start(tmp_path: Path) -> None:
    for options in ({}, {"adapters": [SQLITE, MYSQL]}):
        plugin = DatabasePlugin({})
        with pytest.raises(OptionError):
            await plugin.on_init(context(tmp_path, options))
        assert plugin.provides() is None
        await plugin.on_shutdown()
