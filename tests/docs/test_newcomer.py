"""The first minutes of somebody who has an empty folder and an index with the wheels."""

from __future__ import annotations

import os
import re
import resource
import site
import subprocess
import sys
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.database import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (ROOT / "packages" / "database", ROOT / "packages" / "keyval", ROOT)
OURS = ("buntime", "_buntime", "__editable__")
MACHINE_SECONDS = 60
"""Of a processor, that all of it may take."""
CLIENT = """
import sys
from buntime_keyval import Kv

with Kv(sys.argv[1]) as kv:
    kv.set(["users", 2], {"name": "Bob"})
    print([entry.value["name"] for entry in kv.list(["users"])])
"""


def run(*command: str | Path, cwd: Path) -> str:
    """What a command prints. No setting of this machine is a newcomer's."""
    environ = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PIP_", "PYTHON", "RUNTIME_", "BUNTIME_", "PYTEST_"))
    }
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**environ, "PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def make_index(folder: Path) -> str:
    """An index as PyPI has it, of files, with the wheels of the product; its URL."""
    wheels = folder / "wheels"
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation")
    run(*pip, "--wheel-dir", wheels, *PACKAGES, cwd=folder)
    for wheel in wheels.iterdir():
        page = folder / "index" / wheel.name.partition("-")[0].replace("_", "-") / "index.html"
        page.parent.mkdir(parents=True)
        page.write_text(f'<a href="../../wheels/{wheel.name}">{wheel.name}</a>')
    return (folder / "index").as_uri()


def make_environment(folder: Path, index: str) -> Path:
    """An environment in which the product is installed from the index; its folder of programs.

    What it depends on is that of this environment: no test needs the network.
    """
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    others = folder / "others"
    others.mkdir()
    for packages in site.getsitepackages():
        for item in Path(packages).iterdir():
            if not item.name.startswith(OURS) and item.suffix != ".pth":
                (others / item.name).symlink_to(item)
    (found,) = (folder / "venv").glob("lib/python*/site-packages")
    (found / "others.pth").write_text(f"{others}\n")
    programs = folder / "venv" / "bin"
    pip = (sys.executable, "-m", "pip", "--python", programs / "python", "install", "--quiet")
    run(*pip, "--index-url", index, "buntime[testing]", cwd=folder)
    return programs


@contextmanager
def serving(buntime: Path, folder: Path) -> Iterator[str]:
    """The address of `buntime serve` as somebody types it, on a port that is free."""
    log = folder.parent / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [buntime, "serve", "--port", "0"], cwd=folder, stdout=output, stderr=output
        )
    try:
        wait_until(lambda: process.poll() is not None or "listening on" in log.read_text(), 120)
        found = re.search(r"listening on (http://[^\s\"]+)", log.read_text())
        assert found, log.read_text()
        yield found[1]
        process.terminate()
        assert process.wait(60) == 0, log.read_text()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(60)


def machine_seconds() -> float:
    """Of processors, for the processes that this one started and that are over."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_from_nothing_to_a_store_and_a_plugin(tmp_path: Path) -> None:
    before = machine_seconds()
    programs = make_environment(tmp_path, make_index(tmp_path))
    shop = tmp_path / "shop"
    shop.mkdir()
    buntime = programs / "buntime"

    assert "wrote buntime.jsonc" in run(buntime, "init", cwd=shop)
    with serving(buntime, shop) as url:
        key = f"{url}/keyval/api/keys/users/1"
        run("curl", "-sf", "-X", "PUT", key, "-d", '{"name": "Alice"}', cwd=shop)
        assert '"name":"Alice"' in run("curl", "-sf", key, cwd=shop)
        listed = run(programs / "python", "-c", CLIENT, f"{url}/keyval/api", cwd=shop)
        assert listed == "['Alice', 'Bob']\n"

    run(buntime, "new-plugin", "my-counter", cwd=shop)
    tested = run(programs / "python", "-m", "pytest", "-q", "plugins/my-counter", cwd=shop)
    assert "3 passed" in tested
    file = shop / "buntime.jsonc"
    file.write_text(file.read_text().replace('"plugins": [', '"plugins": [\n    "my-counter",', 1))
    assert "my-counter" in run(buntime, "check", "--strict", cwd=shop)
    with serving(buntime, shop) as url:
        said = run("curl", "-sf", f"{url}/my-counter/api/hello/Ada", cwd=shop)
        assert '"Hello, Ada"' in said
    assert machine_seconds() - before < MACHINE_SECONDS
