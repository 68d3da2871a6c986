"""The plugin's options: defaults, forms, refusals."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from buntime_host import OptionError
from buntime_plugin_keyval.config import parse_config

MANIFEST = Path(__file__).parents[2] / "plugins" / "plugin-keyval" / "manifest.yaml"


def defaults(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The options that a manifest's schema gives when the configuration says nothing."""
    return {
        name: defaults(field["properties"]) if "properties" in field else field["default"]
        for name, field in schema.items()
        if "properties" in field or "default" in field
    }


def test_the_manifest_says_the_defaults_of_the_code() -> None:
    schema = yaml.safe_load(MANIFEST.read_text())["config"]
    assert parse_config(defaults(schema)) == parse_config({})


def test_durations_are_numbers_or_texts() -> None:
    config = parse_config({"queue": {"lockDuration": "1m", "heartbeat": 500}})
    assert [*map(float, (config.queue.lock_duration, config.queue.heartbeat))] == [60, 0.5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"libsqlUrl": "http://x", "database": "sqlite"}, "both name the store"),
        ({"libsqlReplicaUrl": "http://x"}, "libsqlReplicaUrl needs the primary"),
        ({"libsqlToken": 5}, "libsqlToken: Expected `str"),
        (
            {"libsqlUrl": "http://x", "operationTimeout": "soon"},
            "operationTimeout: must be",
        ),
        ({"libsqlUrl": "", "libsqlReplicaUrl": "", "libsqlToken": ""}, None),
        ({"legacyBase": 1}, "legacyBase: Expected `bool`"),
        ({"database": 5}, "database: Expected `str"),
        ({"changes": None}, None),
        ({"changes": 5}, "changes: Expected `object`"),
        ({"changes": {"maxCount": 0}}, "changes.maxCount: must be at least 1, received 0"),
        ({"changes": {"maxAge": "soon"}}, "changes.maxAge: must be a number of milliseconds"),
        ({"queue": {"lockDuration": 0}}, "queue.lockDuration: must be at least 1 ms"),
        ({"queue": {"cleanupInterval": 0}}, None),
        ({"watch": {"maxWatchers": True}}, "watch.maxWatchers: Expected `int`"),
        ({"limits": {"mutations": 0}}, "limits.mutations: must be at least 1"),
        (
            {"limits": {"conditions": 1001}},
            "limits.conditions: must be at most 1000",
        ),
        (
            {"limits": {"commitBytes": "much"}},
            "limits.commitBytes: must be a number of",
        ),
        ({"metrics": {"persistent": "yes"}}, "metrics.persistent: Expected `bool`"),
    ],
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], message: str | None) -> None:
    if message is None:
        parse_config(options)
        return
    with pytest.raises(OptionError, match=message.replace(".", r"\.")):
        parse_config(options)


def test_the_options_of_the_first_version_describe_an_adapter() -> None:
    config = parse_config(
        {
            "libsqlUrl": "http://127.0.0.1:8880",
            "libsqlReplicaUrl": "http://127.0.0.1:8882",
            "libsqlToken": "t",
            "cleanupInterval": 60000,
            "operationTimeout": 30000,
        }
    )
    assert config.own_database() == {
        "type": "libsql",
        "urls": ["http://127.0.0.1:8880", "http://127.0.0.1:8882"],
        "authToken": "t",
        "operationTimeout": 30_000,
    }
