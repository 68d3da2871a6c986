"""The guide and the READMEs: examples run, tables are complete."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import buntime_database
from buntime_database_conformance import CASES
from buntime_host.options.jsonc import parse_jsonc
from buntime_plugin_database.engines.sqlite.engine import SqliteEntry
from buntime_plugin_database.service import open_service
from buntime_plugin_database.service.config import TenancyConfig, parse_config
from database.support import sqlite_target
from support.examples import read_examples, run_python

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/databases.md").read_text(encoding="utf-8")


def names_in_tables() -> set[str]:
    return {
        name
        for row in re.findall(r"^\| (.*?) \|", GUIDE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }


def configured() -> dict[str, Any]:
    block = re.search(r"```jsonc\n(.*?)```", GUIDE, re.DOTALL)
    assert block is not None
    ((_, options),) = parse_jsonc(block[1])["plugins"]
    assert isinstance(options, dict)
    return options


async def test_examples_of_the_guide(tmp_path: Path) -> None:
    examples = read_examples(ROOT / "docs/databases.md")
    assert len(examples) > 5
    service = await open_service(parse_config(configured()), tmp_path)
    names: dict[str, Any] = {"database": service}
    try:
        for example in examples:
            await run_python(example, names)
    finally:
        await service.close()


async def test_the_example_of_the_package(tmp_path: Path) -> None:
    names: dict[str, Any] = {}
    for example in read_examples(ROOT / "packages/database/README.md"):
        await run_python(example, names)
    async with sqlite_target("example", ":memory:").database() as open_adapter:
        adapter = await open_adapter()
        await adapter.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)")
        await adapter.execute("INSERT INTO users VALUES (1, 'a')")
        assert await names["rename"](adapter, 1, "a", "b")
        assert not await names["rename"](adapter, 1, "a", "c")


async def test_the_example_of_a_further_engine() -> None:
    target = sqlite_target("example", ":memory:")
    names: dict[str, Any] = {
        "capabilities": target.capabilities._replace(interactive_transactions=False),
        "fresh_database": target.database,
    }
    (example,) = read_examples(ROOT / "packages/database-conformance/README.md")
    await run_python(example, names)
    assert len(names["outcomes"]) == len(CASES)


def test_every_option_of_an_adapter_is_in_the_guide() -> None:
    # Those of servers are in a guide of their own.
    assert set(SqliteEntry.__struct_encode_fields__) <= names_in_tables()
    for option in ("autoCreate", "maxTenants"):
        assert option in TenancyConfig.__struct_encode_fields__
        assert f"`tenancy.{option}`" in GUIDE


def test_every_error_of_an_adapter_is_in_the_guide() -> None:
    base = buntime_database.DatabaseError
    exported = [getattr(buntime_database, name) for name in buntime_database.__all__]
    errors = {item for item in exported if isinstance(item, type) and issubclass(item, base)}
    of_sessions = {
        item
        for item in errors
        if issubclass(item, buntime_database.StatementStopped)
        or item.__name__.startswith("Session")
    }
    assert {item.__name__ for item in errors - of_sessions} - {base.__name__} <= names_in_tables()


def test_the_configuration_in_the_guide_shows_the_defaults() -> None:
    config = parse_config(configured())
    assert config.adapters[0].options.settings() == SqliteEntry(type="sqlite").settings()
    assert config.tenancy == TenancyConfig()
