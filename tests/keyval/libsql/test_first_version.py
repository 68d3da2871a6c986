"""A configuration and clients of the first version of the plugin, unchanged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from keyval.libsql.support import run_sql
from support.api import api_of
from support.live import LiveServer, live_server
from support.sqld import Sqld

OPTIONS = {
    "libsqlUrl": "${LIBSQL_URL}",
    "libsqlReplicaUrl": "${LIBSQL_REPLICA_URL}",
    "libsqlToken": "${LIBSQL_TOKEN}",
    "cleanupInterval": 60000,
    "operationTimeout": 30000,
}


def config(**options: Any) -> dict[str, Any]:
    return {
        "plugins": [
            ["@buntime/plugin-database", {"adapters": [{"type": "sqlite", "baseDir": "data"}]}],
            ["@buntime/plugin-keyval", options],
        ]
    }


def test_the_store_is_where_the_options_say(own_pair: list[Sqld], tmp_path: Path) -> None:
    primary, replica = own_pair
    servers = {"LIBSQL_URL": primary.url, "LIBSQL_REPLICA_URL": replica.url}
    environ = {**servers, "LIBSQL_TOKEN": ""}
    with live_server(tmp_path, config(**OPTIONS), environ) as server, api_of(server.api) as api:
        api.put("users/1", "Ada")
        assert api.json("GET", "/keys/users/1")["value"] == "Ada"
        assert run_sql(primary, "SELECT value FROM kv_entries") == [['"Ada"']]
        # The adapter that others use is still the file.
        with api_of(f"{server.url}/database/api") as database:
            assert database.json("GET", "/tables") is not None


def test_a_server_that_is_not_there_fails_the_plugin_with_the_reason(tmp_path: Path) -> None:
    options = config(libsqlUrl="http://127.0.0.1:1", operationTimeout=100)
    with live_server(tmp_path, options) as server:
        assert "@buntime/plugin-keyval failed" in server.output


@pytest.fixture
def without(tmp_path: Path) -> Any:
    with live_server(tmp_path, config(legacyBase=False)) as server:
        yield server


def test_the_path_of_the_first_version(server: LiveServer) -> None:
    with api_of(f"{server.url}/_/plugin-keyval") as old, api_of(server.api) as new:
        old.put("users/a%2Fb", 1)
        assert new.value("users", "a/b") == 1
        assert old.json("POST", "/keys/count", {"prefix": ["users"]}) == {"count": 1}
        assert old.send("GET", "/keys/nothing").status_code == 404
        assert old.send("GET", "/nothing").status_code == 404


def test_that_path_can_be_switched_off(without: LiveServer) -> None:
    with api_of(f"{without.url}/_/plugin-keyval") as old:
        assert old.send("GET", "/keys/users/1").status_code == 404
