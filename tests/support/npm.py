"""Packages from npm for tests, installed once into a cache folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

from support.programs import lacking

TYPESCRIPT = "7.0.2"
INSTALL_SECONDS = 180
ANSWER_SECONDS = 10
"""For a registry that can be reached, which is asked twice. An install tries for over a minute, and
without npm's own patience it would give up where one of its many files is late."""
NODE_SECONDS = 30
"""Longest run of a small script."""


def node_program() -> str:
    """The program `node`. Where there is none the test is skipped, but never in CI."""
    node = shutil.which("node")
    if node is None or shutil.which("npm") is None:
        lacking("node with npm")
    return node


def npm_folder(package: str, version: str, *options: str) -> Path:
    """A folder whose `node_modules` has the package; its place is `BUNTIME_TEST_CACHE`.

    Where there is no npm the test is skipped, but never in CI. An install that fails is a failure,
    at once for all tests of this process that want the same.
    """
    node_program()
    folder, fault = _install(package, version, options)
    if fault:
        pytest.fail(f"{package} {version} is not installed: {fault}")
    return folder


@cache
def _install(package: str, version: str, options: tuple[str, ...]) -> tuple[Path, str]:
    """The folder of a package, and why it is not in it."""
    place = os.environ.get("BUNTIME_TEST_CACHE")
    root = Path(place) if place else Path.home() / ".cache" / "buntime-tests"
    folder = root / f"{package.replace('/', '-').removeprefix('@')}-{version}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # other test processes may want it at the same time
        if (folder / "node_modules" / package / "package.json").exists():
            return folder, ""
        wanted = f"{package}@{version}"
        patience = (
            *("--fetch-retries", "1", "--fetch-retry-maxtimeout", "1000"),
            *("--fetch-retry-mintimeout", "1000", "--fetch-timeout", f"{ANSWER_SECONDS * 1000}"),
        )
        return folder, (
            _fault_of(2 * ANSWER_SECONDS, "view", wanted, "version", *patience)
            or _fault_of(
                *(INSTALL_SECONDS, "install", "--no-audit", "--no-fund"),
                *(*options, "--prefix", str(folder), wanted),
            )
        )


def _fault_of(seconds: float, *arguments: str) -> str:
    """What npm says when it fails."""
    npm = shutil.which("npm")
    assert npm is not None
    try:
        done = subprocess.run(
            [npm, *arguments], capture_output=True, text=True, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        return f"npm {arguments[0]} does not end within {seconds:g} s"
    return (done.stderr or f"npm {arguments[0]} fails") if done.returncode else ""
