"""The set-up of a team on the page about access, as it stands there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from support.database import wait_until
from support.live import live_server

pytestmark = pytest.mark.slow

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "access.md").read_text("utf-8")


def commands(name: str) -> list[list[str]]:
    """The lines of console blocks that call a command of `buntime keys`."""
    lines = [
        line
        for block in re.findall(r"```console\n(.*?)```", PAGE, re.S)
        for line in block.splitlines()
    ]
    return [shlex.split(line) for line in lines if line.startswith(f"buntime keys {name}")]


def run(folder: Path, arguments: list[str]) -> str:
    found = subprocess.run(
        [sys.executable, "-m", "buntime_host", *arguments[1:]],
        cwd=folder, env={**os.environ, "RUNTIME_MASTER_KEY": "k" * 44}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert found.returncode == 0, found.stderr
    return found.stdout.strip()


def test_a_team(tmp_path: Path) -> None:
    with live_server(tmp_path, environ={"RUNTIME_MASTER_KEY": "k" * 44}) as server:
        (create,) = commands("create")
        key = run(tmp_path, create)

        def status(path: str, key: str = "") -> int:
            return httpx2.get(
                server.url + path, headers={"x-api-key": key} if key else {}
            ).status_code

        wait_until(lambda: status("/api/plugins", key) == 200)
        assert status("/metrics", key) == 200
        assert status("/keyval/api/keys/a", key) == 403
        assert status("/keyval/api/keys/a") == 401
        assert status("/keyval/api/keys/a", "k" * 44) == 404
        (listing,), (rotate,), (revoke,) = (commands(name) for name in ("list", "rotate", "revoke"))
        (row,) = json.loads(run(tmp_path, [*listing, "--json"]))["keys"]
        assert row["name"] == "reports"
        rotated = run(tmp_path, [row["id"] if word == "ID" else word for word in rotate])
        assert rotated != key
        wait_until(lambda: status("/api/plugins", rotated) == 200)
        assert status("/api/plugins", key) == 200
        run(tmp_path, [row["id"] if word == "ID" else word for word in revoke])
        wait_until(lambda: status("/api/plugins", rotated) in (401, 429))
