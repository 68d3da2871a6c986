"""A third party's plugin, loaded from a folder and as an installed package."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest
from support.packages import install

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.conftest import Serve

EXAMPLE = Path(__file__).parent / "plugins" / "greeter"


def greet(port: int) -> object:
    return httpx2.get(f"http://127.0.0.1:{port}/greeter/api/greet/ann").json()


def has_page(port: int) -> bool:
    """Whether the page of the example is there, with its script."""
    root = f"http://127.0.0.1:{port}/greeter"
    page = httpx2.get(f"{root}/", headers={"accept": "text/html"}).text
    script = httpx2.get(f"{root}/app.js").text
    return '<base href="./">' in page and script == (EXAMPLE / "ui" / "app.js").read_text()


def test_from_a_folder(serve: Serve, tmp_path: Path) -> None:
    folders = [str(EXAMPLE.parent)]
    content = {"pluginDirs": folders, "plugins": [["@example/greeter", {"greeting": "Hi"}]]}
    process = serve(config=content)
    assert greet(process.port) == {"text": "Hi, ann!"}
    assert has_page(process.port)
    status = httpx2.get(f"http://127.0.0.1:{process.port}/api/plugins").json()
    assert status[0]["source"] == "directory"


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder into which the example was built and installed as a wheel."""
    return install(EXAMPLE, tmp_path)


def test_from_an_installed_package(serve: Serve, installed: Path) -> None:
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(installed)]))
    process = serve(config={"plugins": ["@example/greeter"]}, PYTHONPATH=path)
    assert greet(process.port) == {"text": "Hello, ann!"}
    assert has_page(process.port)
    status = httpx2.get(f"http://127.0.0.1:{process.port}/api/plugins").json()
    assert status[0]["source"] == "entry point"
    process.signal()
    assert process.wait() == 0
    # A folder that was asked for wins over the package, with a warning that names both.
    content = {"pluginDirs": [str(EXAMPLE.parent)], "plugins": ["@example/greeter"]}
    process = serve(config=content, PYTHONPATH=path)
    assert greet(process.port) == {"text": "Hello, ann!"}
    lines = [json.loads(line)["message"] for line in process.out.splitlines()]
    (warning,) = [line for line in lines if "exists twice" in line]
    assert str(EXAMPLE) in warning
    assert str(installed) in warning


def test_the_host_imports_no_plugin() -> None:
    code = (
        "import sys, buntime_host.processes.server\n"
        "print([n for n in sys.modules if n.startswith(('buntime_plugin', 'buntime_database',"
        " 'buntime_keyval'))])"
    )
    host = Path(__file__).resolve().parents[2] / "host"
    completed = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(host)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout == "[]\n"
