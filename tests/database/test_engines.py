"""Engines as they are found: our own, those to come, and those of others."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from buntime_database import Adapter, DatabaseError
from buntime_database_conformance import CASES, EngineUnderTest, OpenAdapter, run_all
from buntime_host import OptionError
from buntime_plugin_database.engines.sqlite.adapter import CAPABILITIES
from buntime_plugin_database.service import open_service
from buntime_plugin_database.service.config import parse_config
from buntime_plugin_database.service.engines import Engines
from buntime_plugin_database.shared.engine import AnyEngine
from support.database import Api
from support.live import live_server
from support.packages import install

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parent / "plugins" / "recorder"
ENTRY = {"type": "recorder", "path": "recorded.db", "keep": 3}


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> AnyEngine:
    """The example, given in process."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.delitem(sys.modules, "example_recorder", raising=False)
    engine: AnyEngine = importlib.import_module("example_recorder").ENGINE
    return engine


def test_those_that_are_installed() -> None:
    assert {"sqlite", "libsql", "postgres"} <= set(Engines().names())
    with pytest.raises(OptionError, match=r"Unknown adapter type: oracle\. There are .*sqlite"):
        Engines().named("oracle")


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"type": "recorder"}, "path is required for recorder adapter"),
        ({**ENTRY, "kept": 1}, "adapters[0]: Object contains unknown field `kept`"),
        ({**ENTRY, "keep": 0}, "adapters[0]: keep: must be at least 1, received 0"),
    ],
)
def test_its_options_are_its_own(recorder: AnyEngine, entry: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        parse_config({"adapters": [entry]}, engines=Engines(recorder))
    assert message in str(raised.value)


async def test_one_that_is_given_in_process(recorder: AnyEngine, tmp_path: Path) -> None:
    environ = {"RECORDER_PATH": "of-environment.db"}
    entries = [{"type": "sqlite", "baseDir": "data"}, {"type": "recorder"}]
    config = parse_config({"adapters": entries}, environ, Engines(recorder))
    service = await open_service(config, tmp_path)
    adapter: Any = service.get_root_adapter("recorder")
    await adapter.execute("CREATE TABLE t (x)")
    assert adapter.statements == ["CREATE TABLE t (x)"]
    with pytest.raises(DatabaseError, match="has no tenants"):
        await service.get_adapter("recorder", "acme")
    other: Any = await service.open_adapter("keyval", {**ENTRY, "keep": 1})
    await other.execute("CREATE TABLE t (x)")
    await other.execute("INSERT INTO t VALUES (1)")
    assert other.statements == ["INSERT INTO t VALUES (1)"]
    await service.close()
    assert (tmp_path / "of-environment.db").exists()
    assert (tmp_path / "recorded.db").exists()


async def test_it_passes_the_conformance_suite(recorder: AnyEngine, tmp_path: Path) -> None:
    count = 0

    @asynccontextmanager
    async def fresh_database() -> AsyncIterator[OpenAdapter]:
        nonlocal count
        count += 1
        entry = {"type": "sqlite", "url": ":memory:"}
        config = parse_config({"adapters": [entry]}, engines=Engines(recorder))
        service = await open_service(config, tmp_path)

        async def open_adapter() -> Adapter:
            return await service.open_adapter("test", {**ENTRY, "path": f"{count}.db"})

        yield open_adapter
        await service.close()

    target = EngineUnderTest("recorder", CAPABILITIES, fresh_database)
    outcomes = await run_all(CASES, target)
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    assert failed == []
    assert sum(outcome.status == "passed" for outcome in outcomes) > 50


def test_one_that_is_installed(tmp_path: Path) -> None:
    site = install(EXAMPLE, tmp_path)
    plugins = [["@buntime/plugin-database", {"adapters": [ENTRY], "api": {"write": True}}]]
    path = os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    with (
        live_server(tmp_path, {"plugins": plugins}, {"PYTHONPATH": path}, forked=False) as server,
        Api(server) as api,
    ):
        assert api.get("adapters") == {"adapters": ["recorder"], "default": "recorder"}
        api.sql("CREATE TABLE t (x)")
        api.sql("INSERT INTO t VALUES (7)")
        assert api.rows("SELECT x FROM t") == [[7]]
        assert api.get("tenants", status=501)["code"] == "TENANCY_NOT_SUPPORTED"
    assert (tmp_path / "recorded.db").exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["json:loads"], "Adapter type x: json:loads is not the name of an engine"),
        (["buntime_nowhere:ENGINE"], "Adapter type x cannot be loaded: No module named"),
        (["json:nothing"], "Adapter type x cannot be loaded: module 'json' has no"),
        (["a:B", "c:D"], "Adapter type x is installed more than once: a:B and c:D"),
    ],
)
def test_one_that_is_badly_installed(
    values: list[str], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    points = [EntryPoint("x", value, "group") for value in values]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: points)
    with pytest.raises(OptionError, match=message):
        Engines().named("x")


def test_an_engine_that_there_is_not_can_be_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(OptionError, match="not available"):
        Engines().named("mysql")
    point = EntryPoint("mysql", "json:loads", "group")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: [point])
    with pytest.raises(OptionError, match="is not the name of an engine"):
        Engines().named("mysql")
