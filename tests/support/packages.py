"""Installing a package of a third party, as pip does it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
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


def install_beside(package: Path, site: Path) -> None:
    """Let this process, and those that it starts, find a package where its source is.

    The folder is for what an installation writes beside it.
    """
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    info = site / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    sys.path += [str(site), str(package)]
    path = [os.environ.get("PYTHONPATH", ""), str(site), str(package)]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, path))
