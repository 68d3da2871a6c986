"""Where the servers come from: the configuration, older spellings of it, the environment."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from buntime_database import DatabaseUnavailable, InvalidStatement
from buntime_host import OptionError, Workers
from buntime_plugin_database.engines.libsql import engine as engine_module
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.engine import LibsqlEntry
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_database.engines.sqlite.engine import SqliteEntry
from buntime_plugin_database.plugin import DatabasePlugin
from buntime_plugin_database.service import open_service
from buntime_plugin_database.service.config import parse_config
from support.sqld import Sqld, free_port

ONE, TWO, THREE = "http://one:8080", "http://two:8080", "http://three:8080"


def servers(entry: dict[str, Any], **environ: str) -> tuple[str, ...]:
    config = parse_config({"adapters": [{"type": "libsql", **entry}]}, environ)
    found: LibsqlEntry = config.adapters[0].options
    return found.urls


@pytest.mark.parametrize(
    ("entry", "urls"),
    [
        ({"url": ONE}, (ONE,)),
        ({"urls": [ONE, TWO]}, (ONE, TWO)),
        ({"url": ONE, "urls": [TWO, ONE]}, (ONE, TWO)),
        ({"urls": ["", ONE, " ", TWO, ONE]}, (ONE, TWO)),
        ({"urls": ["libsql://db.example.org"]}, ("libsql://db.example.org",)),
        ({"urls": ["libsql://localhost:8080?tls=0"]}, ("libsql://localhost:8080?tls=0",)),
        ({"urls": ["ws://one:1", "wss://two"]}, ("ws://one:1", "wss://two")),
    ],
)
def test_urls_of_the_configuration(entry: dict[str, Any], urls: tuple[str, ...]) -> None:
    assert servers(entry) == urls


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({}, "libsql adapter requires at least one URL in urls[]"),
        ({"urls": []}, "libsql adapter requires at least one URL in urls[]"),
        ({"urls": [" ", ""]}, "libsql adapter requires at least one valid URL in urls[]"),
        ({"url": "postgres://x/y"}, "postgres://x/y is not the URL of a libSQL server"),
        ({"urls": [ONE, "file:x.db"]}, "file:x.db is not the URL of a libSQL server"),
        ({"urls": ["file:x.db", ONE]}, "file:x.db is a file, which has no replicas"),
        ({"url": "http://one?secret=1"}, "Unknown URL query parameter 'secret'"),
        ({"url": "libsql://one?tls=0"}, "must specify an explicit port"),
        ({"url": "ftp://user:hidden@x/y?z=hidden"}, "libsql adapter: ftp://x/y is not the URL"),
        ({"url": "http://user:hidden@one?a=hidden"}, "libsql adapter: http://one: Unknown URL"),
        ({"urls": ["file:x?key=hidden", ONE]}, "libsql adapter: file:x is a file"),
        ({"url": ONE, "adminUrl": "http://u:hidden@x?a"}, "adminUrl http://x is not an HTTP URL"),
        ({"url": ONE, "operationTimeout": 0}, "operationTimeout: must be at least 1 ms"),
        ({"url": ONE, "readYourWrites": "yes"}, "readYourWrites"),
    ],
)
def test_a_wrong_configuration(entry: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        servers(entry)
    assert message in str(raised.value)
    assert "hidden" not in str(raised.value), "secrets of URLs are nobody's business"


@pytest.mark.parametrize(
    ("environ", "urls"),
    [
        ({"DATABASE_LIBSQL_URL": ONE}, (ONE,)),
        (
            {"DATABASE_LIBSQL_URL": ONE, "DATABASE_LIBSQL_REPLICAS": f"{TWO}, {THREE},"},
            (ONE, TWO, THREE),
        ),
        ({"LIBSQL_URL_1": TWO, "LIBSQL_URL_0": ONE, "LIBSQL_URL_10": THREE}, (ONE, TWO, THREE)),
        (
            {"LIBSQL_URL": ONE, "LIBSQL_REPLICA_B": THREE, "LIBSQL_REPLICA_A": TWO},
            (ONE, TWO, THREE),
        ),
        ({"DATABASE_LIBSQL_URL": ONE, "LIBSQL_URL": TWO, "LIBSQL_URL_0": THREE}, (ONE,)),
    ],
)
def test_urls_of_the_environment(environ: dict[str, str], urls: tuple[str, ...]) -> None:
    assert servers({}, **environ) == urls
    assert servers({"urls": [""]}, **environ) == urls


def test_replicas_alone_are_no_primary() -> None:
    with pytest.raises(OptionError, match="requires at least one URL"):
        servers({}, DATABASE_LIBSQL_REPLICAS=TWO)


def test_the_environment_never_adds_a_replica_to_the_configuration() -> None:
    environ = {"DATABASE_LIBSQL_URL": TWO, "DATABASE_LIBSQL_AUTH_TOKEN": "secret"}
    config = parse_config({"adapters": [{"type": "libsql", "url": ONE}]}, environ)
    assert config.adapters[0].options.urls == (ONE,)
    assert config.adapters[0].options.auth_token == "secret"
    (warning,) = config.warnings
    assert warning == (
        "The libsql adapter has URLs in its configuration: those in the environment"
        f" ({TWO}) are ignored"
    )
    same = parse_config({"adapters": [{"type": "libsql", "url": TWO}]}, environ)
    assert same.warnings == ()
    other = parse_config({"adapters": [{"type": "sqlite", "url": "x.db"}]}, environ)
    assert other.warnings == ()


def test_options() -> None:
    entry = {"type": "libsql", "url": ONE, "authToken": "t", "operationTimeout": 1500}
    config = parse_config({"adapters": [entry]}, {"DATABASE_LIBSQL_AUTH_TOKEN": "other"})
    assert config.adapters[0].options.settings() == LibsqlOptions("t", 1.5, read_your_writes=True)
    for given, wanted in ((False, False), (True, True), (250, 0.25)):
        config = parse_config({"adapters": [{**entry, "readYourWrites": given}]})
        assert config.adapters[0].options.settings().read_your_writes == wanted


async def test_a_file_is_served_by_the_embedded_engine(tmp_path: Path) -> None:
    for url in ("file:./x.db", "y.db"):
        config = parse_config({"adapters": [{"type": "libsql", "urls": [url]}]})
        service = await open_service(config, tmp_path)
        assert isinstance(service.get_root_adapter("libsql"), SqliteAdapter)
        await service.close()
        assert (tmp_path / f"{url[-4]}.db").exists()


def test_options_of_a_file_are_those_of_the_embedded_engine() -> None:
    entry = {"type": "libsql", "urls": ["file:x.db"], "authToken": "t", "default": True}
    (file,) = parse_config({"adapters": [{**entry, "readers": 3, "baseDir": "d"}]}).adapters
    assert (file.type, file.engine.name) == ("libsql", "sqlite")
    assert file.options == SqliteEntry(
        type="libsql", default=True, url="file:x.db", base_dir="d", readers=3
    )
    of_environment = {"DATABASE_LIBSQL_URL": "file:y.db"}
    (file,) = parse_config({"adapters": [{"type": "libsql"}]}, of_environment).adapters
    assert file.options.url == "file:y.db"
    for wrong in ({"synchronus": "off"}, {"readers": 0}, {"authToken": 5}):
        with pytest.raises(OptionError, match=next(iter(wrong))):
            parse_config({"adapters": [{**entry, **wrong}]})


def test_options_of_files_are_none_of_a_server() -> None:
    entry = {"type": "libsql", "url": ONE, "synchronous": "full"}
    with pytest.raises(OptionError, match="unknown field `synchronous`"):
        parse_config({"adapters": [entry]})


async def test_servers_of_the_environment_from_start_to_shutdown(
    pair: list[Sqld], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("DATABASE_LIBSQL_URL", pair[0].url)
    for options in ({}, {"url": pair[0].url.replace("http", "ws")}):
        plugin = DatabasePlugin({})
        adapters = [{"type": "libsql", "default": True, **options}]
        with caplog.at_level(logging.INFO):
            await plugin.on_init(
                Mock(
                    config={"adapters": adapters},
                    environ=os.environ,
                    base_dir=Path(),
                    logger=logging.getLogger("test"),
                    workers=Workers.alone(),
                )
            )
        service = plugin.provides()
        assert service is not None
        adapter = service.get_root_adapter()
        assert isinstance(adapter, LibsqlAdapter)
        assert await adapter.query("SELECT 1") == [(1,)]
        with pytest.raises(InvalidStatement):
            await service.get_adapter("libsql", "tenant")
        await plugin.on_shutdown()
    assert "Databases open: libsql (default libsql)" in caplog.text
    assert "are ignored" in caplog.text


async def test_a_server_that_never_comes_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine_module, "START_SECONDS", 0.1)
    url = f"http://127.0.0.1:{free_port()}"
    config = parse_config({"adapters": [{"type": "libsql", "url": url}]})
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        await open_service(config, tmp_path)
