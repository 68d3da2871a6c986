"""Packages from npm for tests, installed once into a cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

import pytest

TYPESCRIPT = "7.0.2"
INSTALL_SECONDS = 180
NODE_SECONDS = 30
"""Longest run of a small script."""


def node_program() -> str:
    """The program `node`. Where there is none the test is skipped, but never in CI."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("node and npm are needed in CI")
        pytest.skip("node and npm are not installed: scripts are NOT tested")
    return node


def npm_folder(package: str, version: str, *options: str) -> Path:
    """A folder whose `node_modules` has the package; its place is `BUNTIME_TEST_CACHE`.

    Where there is no npm the test is skipped, but never in CI. An install that fails is a failure.
    """
    node_program()
    npm = shutil.which("npm")
    assert npm is not None
    cache = os.environ.get("BUNTIME_TEST_CACHE")
    root = Path(cache) if cache else Path.home() / ".cache" / "buntime-tests"
    folder = root / f"{package.replace('/', '-').removeprefix('@')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes may want it at the same time
        if not (folder / "node_modules" / package / "package.json").exists():
            done = subprocess.run(
                [
                    *(npm, "install", "--no-audit", "--no-fund", *options),
                    *("--prefix", str(folder), f"{package}@{version}"),
                ],
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
            assert done.returncode == 0, done.stderr
    return folder
