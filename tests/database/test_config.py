"""Options of the plugin, and what is said about wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from buntime_host import OptionError
from buntime_plugin_database.service.config import parse_config

SQLITE = {"type": "sqlite", "baseDir": "data"}
POSTGRES = {"type": "postgres", "url": "postgres://localhost/x"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "No adapters configured. At least one adapter is required."),
        ({"adapters": []}, "No adapters configured. At least one adapter is required."),
        ({"adapters": None}, "No adapters configured. At least one adapter is required."),
        (
            {"adapters": [SQLITE, SQLITE]},
            "Duplicate adapter type: sqlite. Each type can only appear once.",
        ),
        (
            {"adapters": [{**SQLITE, "default": True}, {**POSTGRES, "default": True}]},
            "Multiple default adapters: sqlite and postgres. Only one can be default.",
        ),
        ({"adapters": [{"type": "oracle"}]}, "Unknown adapter type: oracle"),
        ({"adapters": [{"type": "sqlite"}]}, "URL is required for sqlite adapter"),
        ({"adapters": [{"type": "postgres"}]}, "URL is required for postgres adapter"),
        ({"adapters": [{"type": "mysql", "baseDir": "x"}]}, "The mysql adapter is not available"),
        ({"adapters": [{"type": "libsql"}]}, "libsql adapter requires at least one URL in urls[]"),
        (
            {"adapters": [{"type": "libsql", "urls": ["", " "]}]},
            "libsql adapter requires at least one valid URL in urls[]",
        ),
        ({"adapters": [{**SQLITE, "synchronus": "off"}]}, "unknown field `synchronus`"),
        ({"adapters": [{**SQLITE, "synchronous": "maybe"}]}, "Invalid enum value 'maybe'"),
        (
            {"adapters": [{**SQLITE, "busyTimeout": -1}]},
            "[0]: busyTimeout: must be a number of",
        ),
        ({"adapters": [{**SQLITE, "readers": 0}]}, "adapters[0]: readers: must be at least 1"),
        ({"adapters": [{**SQLITE, "cacheSize": "big"}]}, "adapters[0]: cacheSize: Expected `int`"),
        ({"adapters": [{"baseDir": "x"}]}, "adapters[0].type: must be the name of an engine"),
        ({"adapters": ["sqlite"]}, "Expected `object`"),
        ({"adapters": {"type": "sqlite"}}, "Expected `array`"),
        (
            {"adapters": [SQLITE], "tenancy": {"maxTenants": 0}},
            "tenancy.maxTenants: must be at least 1",
        ),
    ],
)
def test_a_wrong_configuration(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError) as raised:
        parse_config(options)
    assert message in str(raised.value)


def test_the_first_adapter_is_the_default_unless_another_says_so() -> None:
    assert parse_config({"adapters": [SQLITE, POSTGRES]}).default == "sqlite"
    adapters = [SQLITE, {**POSTGRES, "default": True}]
    assert parse_config({"adapters": adapters}).default == "postgres"


def test_a_single_adapter_in_the_oldest_spelling() -> None:
    old, new = parse_config({"adapter": SQLITE}), parse_config({"adapters": [SQLITE]})
    assert (old.adapters, old.default) == (new.adapters, new.default)


def test_defaults() -> None:
    config = parse_config({"adapters": [SQLITE]})
    assert (config.tenancy.auto_create, config.tenancy.max_tenants) == (False, 1000)
    options = config.adapters[0].options.settings()
    assert options == ("full", 5000, 10_000, 64 * 1024 * 1024, 3, 4 * 1024 * 1024)


def test_options_of_an_embedded_database() -> None:
    entry: dict[str, object] = {
        **SQLITE,
        "synchronous": "normal",
        "busyTimeout": 7,
        "cacheSize": 3,
        "readers": 4,
        "reserve": 0,
    }
    entry["statementTimeout"] = 9
    options = parse_config({"adapters": [entry]}).adapters[0].options.settings()
    assert options == ("normal", 7, 9, 3 * 1024 * 1024, 4, 0)


@pytest.mark.parametrize(
    ("location", "path"),
    [
        ({"url": "sqlite://rel/x.db"}, "/base/rel/x.db"),
        ({"url": "sqlite:///abs/x.db"}, "/abs/x.db"),
        ({"url": "sqlite:x.db"}, "/base/x.db"),
        ({"url": "file:./x.db"}, "/base/x.db"),
        ({"url": "file:///abs/x.db"}, "/abs/x.db"),
        ({"url": "x.db"}, "/base/x.db"),
        ({"url": "/abs/x?.db"}, "/abs/x?.db"),
        ({"url": ":memory:"}, ":memory:"),
        ({"url": "sqlite://:memory:"}, ":memory:"),
        ({"baseDir": "data"}, "/base/data/_default.db"),
        ({"baseDir": "/abs"}, "/abs/_default.db"),
        ({"url": "x.db", "baseDir": "data"}, "/base/x.db"),
    ],
)
def test_where_the_root_database_is(location: dict[str, str], path: str) -> None:
    config = parse_config({"adapters": [{"type": "sqlite", **location}]})
    root = config.adapters[0].options.root(Path("/base"))
    assert (root if root == ":memory:" else str(Path(root))) == path


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://localhost:8080", "http://localhost:8080 is not the URL of an SQLite file"),
        ("libsql://host", "is not the URL of an SQLite file"),
        ("memory:", "is not the URL of an SQLite file: use a path such as"),
        ("localhost:8080", "localhost:8080 is not the URL of an SQLite file"),
        ("http:/x", "is not the URL of an SQLite file"),
        (":memory", "file:data.db or :memory:"),
        ("file:x.db?mode=memory", "parameters of the URL are not supported"),
    ],
)
def test_a_url_that_is_no_file(url: str, message: str) -> None:
    config = parse_config({"adapters": [{"type": "sqlite", "url": url}]})
    with pytest.raises(OptionError) as raised:
        config.adapters[0].options.root(Path("/base"))
    assert message in str(raised.value)
