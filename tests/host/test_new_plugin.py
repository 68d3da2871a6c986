"""`buntime new-plugin` and `buntime serve --reload`: from nothing to a plugin that is worked on."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from buntime_host.cli import cli
from buntime_host.commands.reload import watched_paths
from click.testing import CliRunner, Result
from host.conftest import wait_for

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Serve

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(cli, arguments)

    return invoke


@pytest.mark.slow
def test_a_new_plugin_is_tested_typed_and_tidy(run: Any, tmp_path: Path) -> None:
    made = run("new-plugin", "my-counter")
    assert made.exit_code == 0
    assert "wrote plugins/my-counter/plugin.py\n" in made.stdout
    assert 'Name it in "plugins" of buntime.jsonc, as "my-counter"' in made.stdout
    plugin = tmp_path / "plugins" / "my-counter"
    assert {path.name for path in plugin.rglob("*") if path.is_file()} == {
        *("README.md", "index.html", "manifest.yaml", "page.js", "plugin.py"),
        "test_my_counter.py",
    }
    assert not [path for path in plugin.rglob("*") if path.is_file() and "{{" in path.read_text()]
    checked = run("check")
    assert (checked.exit_code, "my-counter" in checked.stdout) == (0, True)
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "plugins"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert "3 passed" in tested.stdout, tested.stdout + tested.stderr
    for command in (["ruff", "check"], ["ruff", "format", "--check"], ["mypy", "--strict"]):
        done = subprocess.run(
            [sys.executable, "-m", *command, "plugins/my-counter"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("My Plugin", "cannot be the name of a new plugin: it has to be of small letters"),
        ("../x", "cannot be the name of a new plugin"),
        ("health", "the path /health is the host's: choose another name"),
        ("keyval", "keyval is taken: @buntime/plugin-keyval (entry point) has that name"),
        ("redirects", "redirects is taken: @buntime/plugin-proxy (entry point) has that name, or"),
    ],
)
def test_names_that_are_none(run: Any, tmp_path: Path, name: str, says: str) -> None:
    refused = run("new-plugin", name)
    assert refused.exit_code == 1
    assert says in refused.stderr
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(run: Any, tmp_path: Path) -> None:
    (tmp_path / "elsewhere" / "hello").mkdir(parents=True)
    (tmp_path / "elsewhere" / "hello" / "plugin.py").write_text("mine")
    refused = run("new-plugin", "hello", "--in", "elsewhere")
    assert refused.exit_code == 1
    assert "elsewhere/hello/plugin.py already exists: nothing was written" in refused.stderr
    assert [path.name for path in (tmp_path / "elsewhere" / "hello").iterdir()] == ["plugin.py"]


def test_a_name_beside_it_is_taken(run: Any, add_plugin: AddPlugin) -> None:
    add_plugin("@team/hello", base="/hi")
    for name in ("@team/hello".rpartition("/")[2], "hi"):
        refused = run("new-plugin", name)
        assert refused.exit_code == 1
        assert "already exists" in refused.stderr or f"{name} is taken" in refused.stderr


def test_what_is_watched(tmp_path: Path, add_plugin: AddPlugin) -> None:
    configuration = tmp_path / "buntime.jsonc"
    folder = add_plugin("a")
    configuration.write_text(json.dumps({"plugins": ["a"]}))
    watched = watched_paths(configuration)
    assert {configuration, folder, tmp_path / "plugins"} <= set(watched)
    configuration.write_text("{")
    assert watched_paths(configuration) == [configuration]


SAYS = """
from starlette.responses import PlainTextResponse
from starlette.routing import Route

@hookimpl
def routes():
    return [Route("/api", lambda request: PlainTextResponse("{}"))]
"""


@pytest.mark.slow
def test_a_change_starts_the_server_again(
    serve: Serve, tmp_path: Path, add_plugin: AddPlugin
) -> None:
    folder = add_plugin("a", SAYS.format("first"), base="/a")
    process = serve("--reload", config={"plugins": ["a"]})

    def answer() -> str:
        lines = [line for line in process.out.splitlines() if "listening on" in line]
        if not lines:
            return ""
        port = json.loads(lines[-1])["message"].rpartition(":")[2]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/a/api") as response:
                return str(response.read().decode())
        except OSError:
            return ""  # it is on its way

    wait_for(lambda: answer() == "first", f"the first answer; {process.err}")
    code = folder / "plugin.py"
    code.write_text(code.read_text().replace("first", "second"))
    wait_for(lambda: answer() == "second", f"the second answer; {process.err}")
    process.signal()
    assert process.wait() == 0
