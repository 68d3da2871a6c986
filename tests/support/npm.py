"""Packages from npm for tests, installed once into a cache folder."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

INSTALL_SECONDS = 180


def npm_folder(package: str, version: str) -> Path:
    """A folder whose `node_modules` has the package; its place is `BUNTIME_TEST_CACHE`.

    Where there is no npm the test is skipped, but never in CI. An install that fails is a failure.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        if os.environ.get("CI"):
            pytest.fail("node and npm are needed in CI")
        pytest.skip("node and npm are not installed: the npm client is NOT tested")
    cache = os.environ.get("BUNTIME_TEST_CACHE")
    root = Path(cache) if cache else Path.home() / ".cache" / "buntime-tests"
    folder = root / f"{package.replace('/', '-').removeprefix('@')}-{version}"
    if not (folder / "node_modules" / package / "package.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--prefix", folder, f"{package}@{version}"],
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return folder
