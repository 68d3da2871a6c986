"""Installing a package of a third party, as pip does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path


def install(package: Path, folder: Path) -> Path:
    """Build a package and install it; the folder to put on the path."""
    source, target = folder / "source", folder / "site"
    shutil.copytree(package, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ("--quiet", "--disable-pip-version-check", "--no-index")
    build = ("--no-build-isolation", "--no-deps", "--target", str(target), str(source))
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *build],
        check=True,
        env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"},
        stdin=subprocess.DEVNULL,
    )
    return target
