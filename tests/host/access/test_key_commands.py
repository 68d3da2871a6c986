"""`buntime keys …`, beside a host that runs and without one."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from host.conftest import base_environ, wait_for
from support.forking import forking_program

if TYPE_CHECKING:
    from host.conftest import Serve

ADAPTERS = {"adapters": [{"type": "sqlite", "url": "x.db"}]}
CONFIG = {"plugins": [["@buntime/plugin-database", ADAPTERS]]}


def keys(folder: Path, *arguments: str, fails: bool = False) -> str:
    """What a command prints; with `fails`, its one line about what is wrong."""
    found = subprocess.run(
        [forking_program("buntime_host", "buntime"), "keys", *arguments],
        cwd=folder, env=base_environ(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert found.returncode == int(fails), found.stderr
    if fails:
        (line,) = found.stderr.splitlines()
        return line
    return found.stdout


@pytest.mark.slow
def test_the_first_key_is_made_without_a_host(serve: Serve, tmp_path: Path) -> None:
    """What refuses to start for others to reach starts once there is a key, and knows it."""
    (tmp_path / "buntime.jsonc").write_text(json.dumps(CONFIG))
    process = serve("--host", "0.0.0.0")
    assert process.wait() == 1
    assert "make one with `buntime keys create`" in process.err
    text = keys(tmp_path, "create", "--name", "ci", "--grant", "plugins:read").strip()
    process = serve("--host", "0.0.0.0")
    url = f"http://127.0.0.1:{process.port}/api/plugins"
    header = {"x-api-key": text}

    def status() -> int:
        return httpx2.get(url, headers=header).status_code

    assert (status(), httpx2.get(url).status_code) == (200, 401)
    (row,) = json.loads(keys(tmp_path, "list", "--json"))["keys"]
    assert (row["name"], row["permissions"], row["createdBy"]) == (
        "ci", ["plugins:read"], "(command line)",
    )  # fmt: skip
    table = keys(tmp_path, "list").splitlines()
    assert table[0].split() == ["id", "name", "role", "state", "expiresAt", "lastUsedAt"]
    assert table[1].split()[:4] == [row["id"], "ci", "custom", "good"]
    made = json.loads(keys(tmp_path, "rotate", row["id"], "--grace", "0", "--json"))
    wait_for(lambda: status() == 401, "the old secret to end")
    header["x-api-key"] = made["key"]
    assert status() == 200
    assert "name: ci" in keys(tmp_path, "show", row["id"])
    assert "is revoked" in keys(tmp_path, "revoke", row["id"])
    wait_for(lambda: status() == 401, "the key to end")
    assert json.loads(keys(tmp_path, "show", row["id"], "--json"))["revokedAt"] > 0
    for arguments, reason in [
        (["create", "--name", "x"], "needs permissions"),
        (["create", "--name", "x", "--grant", "nothing:read"], "there is no plugin 'nothing'"),
        (["create", "--name", "x", "--role", "viewer", "--limits", "x"], "--limits"),
        (["show", "zzzzzzzz"], "There is no such key"),
        (["revoke", "short"], "Invalid key id"),
    ]:
        assert reason in keys(tmp_path, *arguments, fails=True)
