"""Which nodes an entry names, and what it may say besides."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from buntime_database import DatabaseUnavailable
from buntime_host import OptionError, Workers
from buntime_plugin_database.engines.rqlite import engine as engine_module
from buntime_plugin_database.engines.rqlite.engine import RqliteEntry
from buntime_plugin_database.service import open_service
from buntime_plugin_database.service.config import parse_config
from buntime_plugin_database.shared.tenants import TenancyNotSupported
from support.rqlite import Rqlited
from support.sqld import free_port

ONE, TWO = "http://one:4001", "http://two:4001"


def entry_of(entry: dict[str, Any], **environ: str) -> RqliteEntry:
    config = parse_config({"adapters": [{"type": "rqlite", **entry}]}, environ)
    found: RqliteEntry = config.adapters[0].options
    return found


@pytest.mark.parametrize(
    ("entry", "environ", "urls"),
    [
        ({"urls": [ONE, TWO, ONE]}, {}, (ONE, TWO)),
        ({"urls": [" ", ONE]}, {"RQLITE_URL": TWO}, (ONE,)),
        ({}, {"RQLITE_URL": f"{ONE}, {TWO},"}, (ONE, TWO)),
        ({"urls": ["https://one/"]}, {}, ("https://one/",)),
    ],
)
def test_nodes(entry: dict[str, Any], environ: dict[str, str], urls: tuple[str, ...]) -> None:
    assert entry_of(entry, **environ).urls == urls


def test_the_environment_says_who_asks() -> None:
    found = entry_of({"urls": [ONE]}, RQLITE_USER="ada", RQLITE_PASSWORD="hidden")
    assert (found.user, found.password) == ("ada", "hidden")
    assert "hidden" not in str(found.settings(Path())._replace(password=None))


def test_what_is_not_said() -> None:
    settings = entry_of({"urls": [ONE]}).settings(Path())
    assert settings[:6] == (None, None, "weak", 0, 10, 20)
    assert settings.tls is None


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "rqlite adapter requires at least one URL"),
        ({"urls": ["", " "]}, "rqlite adapter requires at least one URL"),
        ({"urls": ["one:4001"]}, "one:4001 is not an HTTP URL"),
        ({"urls": ["ftp://one"]}, "ftp://one is not an HTTP URL"),
        ({"urls": ["http://ada:hid/den@one"]}, "http://… is not an HTTP URL"),
        ({"urls": ["http://one:x"]}, "http://one:x is not an HTTP URL"),
        ({"urls": [f"{ONE}/db"]}, "http://one:4001/db is more than scheme, host and port"),
        ({"urls": ["http://a:hidden@one"]}, "http://one has a user"),
        ({"urls": [ONE], "password": "hidden"}, "password needs user"),
        ({"urls": [ONE], "tlsKey": "x"}, "tlsKey needs tlsCert"),
        ({"urls": [ONE], "freshness": "1s"}, "freshness is of readLevel none alone"),
        ({"urls": [ONE], "readLevel": "strong"}, "readLevel"),
        ({"urls": [ONE], "url": TWO}, "unknown field `url`"),
    ],
)
def test_what_is_wrong(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        entry_of(entry)
    assert message in str(raised.value)
    assert "hidden" not in str(raised.value)


async def test_files_that_are_not_there(tmp_path: Path) -> None:
    config = parse_config({"adapters": [{"type": "rqlite", "urls": [ONE], "tlsCa": "no.pem"}]})
    with pytest.raises(OptionError, match=r"tlsCa, tlsCert, tlsKey: .*No such file"):
        await open_service(config, tmp_path, workers=Workers.alone())


async def test_a_cluster_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "START_SECONDS", 0.2)
    url = f"http://127.0.0.1:{free_port()}"
    opening = Mock(base_dir=Path(), workers=Workers.alone())
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        await engine_module.open_root(entry_of({"urls": [url]}), opening)


async def test_there_are_no_tenants(node: Rqlited, tmp_path: Path) -> None:
    config = parse_config({"adapters": [{"type": "rqlite", "urls": [node.url]}]})
    service = await open_service(config, tmp_path, workers=Workers.alone())
    try:
        assert await service.get_root_adapter("rqlite").query("SELECT 1") == [(1,)]
        with pytest.raises(TenancyNotSupported, match="a cluster has one database"):
            await service.get_adapter("rqlite", "ada")
    finally:
        await service.close()
