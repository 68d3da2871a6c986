from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from buntime_host import __version__
from buntime_host.cli import cli
from buntime_plugin_database.engines.libsql import engine
from click.testing import CliRunner, Result

if TYPE_CHECKING:
    from host.conftest import AddPlugin


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "HOST", "NODE_ENV", "BUNTIME_ENV", "BUNTIME_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def invoke(*arguments: str, config: Any = None) -> Result:
        if config is not None:
            Path("buntime.jsonc").write_text(json.dumps(config))
        return CliRunner().invoke(cli, arguments)

    return invoke


def test_version(run: Any, tmp_path: Path, child_environ: dict[str, str]) -> None:
    assert run("--version").output == f"buntime, version {__version__}\n"
    completed = subprocess.run(
        [sys.executable, "-m", "buntime_host", "--version"],
        env=child_environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert completed.stdout == f"buntime, version {__version__}\n"


def test_help_imports_nothing_heavy(child_environ: dict[str, str]) -> None:
    code = (
        "import sys\nfrom buntime_host.cli import cli\n"
        "cli(['--help'], standalone_mode=False)\n"
        "sys.exit(str({'uvicorn', 'starlette', 'rich', 'yaml'} & set(sys.modules)))"
    )
    completed = subprocess.run(
        [sys.executable, "-c", code], env=child_environ, capture_output=True, text=True
    )
    assert completed.stderr.strip() == "set()"


def test_plugins(run: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a", "1/0", dependencies=["b"], base="/a")
    add_plugin("b", "1/0", version="2.0.0")
    add_plugin("c", "1/0", enabled=False)
    add_plugin("d", "1/0", dependencies=["c"])
    add_plugin("e", "1/0", config={"n": {"type": "number", "required": True}})
    add_plugin("f", "1/0")
    config = {"plugins": ["a", "b", "c", "d", "e"]}
    result = run("plugins", "--json", config=config)
    assert result.exit_code == 0
    content = json.loads(result.stdout)
    rows = {row["name"]: row for row in content["plugins"]}
    installed = set(rows) - set("abcdef")
    assert [n for n in rows if n not in installed] == ["b", "e", "a", "c", "d", "f"]
    assert {name: rows[name]["order"] for name in "bea"} == {"b": 1, "e": 2, "a": 3}
    states = {name: (rows[name]["state"], rows[name]["reason"]) for name in "acdef"}
    assert states == {
        "a": ("enabled", None),
        "c": ("disabled", "enabled is false"),
        "d": ("excluded", "requires c, which is disabled"),
        "e": ("enabled", "n: is required"),
        "f": ("not listed", "not in plugins of the configuration"),
    }
    assert content["errors"] == []
    text = run("plugins").stdout.splitlines()
    assert text[0] == "1\tb\t2.0.0\t-\tenabled\tdirectory\t-"


def test_check(run: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a")
    good = run("check", config={"plugins": ["a"]})
    assert (good.exit_code, good.stdout) == (0, "ok: 1 plugins\n  a\n")
    bad = run("check", config={"plugins": ["a", "gone", "a"]})
    assert bad.exit_code == 1
    assert "buntime: error: plugins[1]: gone was not found" in bad.stderr
    assert "buntime: error: plugins[0] and plugins[2] are both a" in bad.stderr
    add_plugin("b", "1/0", dependencies=["gone"])
    excluded = run("check", config={"plugins": ["b"]})
    assert excluded.exit_code == 1
    assert "buntime: b: requires gone, which is not installed" in excluded.stderr
    broken = run("check", config=5)
    assert broken.exit_code == 1
    assert broken.stderr == "buntime: error: [buntime.jsonc] the top level must be an object\n"


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"type": "mysql", "url": "mysql://a/b"}, "The mysql adapter is not available in this"),
        ({"type": "oracle"}, "Unknown adapter type: oracle. There are libsql, postgres, rqlite"),
        ({"type": "sqlite"}, "adapters[0]: URL is required for sqlite adapter"),
    ],
)
def test_a_check_asks_plugins_for_their_options(run: Any, entry: Any, told: str) -> None:
    found = run("check", config={"plugins": [["@buntime/plugin-database", {"adapters": [entry]}]]})
    assert (found.exit_code, found.stdout) == (1, "")
    assert found.stderr.startswith(f"buntime: @buntime/plugin-database: {told}")


def test_what_plugins_say_of_their_options(run: Any, add_plugin: AddPlugin) -> None:
    add_plugin(
        "a", "@hookimpl\ndef check_options(options):\n    return [f'x is {options[\"x\"]}']\n"
    )
    add_plugin("b", "@hookimpl\ndef check_options():\n    1/0\n")
    doubtful = run("check", config={"plugins": [["a", {"x": 1}]]})
    assert (doubtful.exit_code, doubtful.stderr) == (0, "buntime: warning: a: x is 1\n")
    broken = run("check", config={"plugins": ["b"]})
    assert broken.exit_code == 1
    assert "b: check_options failed: ZeroDivisionError" in broken.stderr


def test_a_check_that_opens(
    run: Any, add_plugin: AddPlugin, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "START_SECONDS", 0.1)
    add_plugin("a", "@hookimpl\ndef health():\n    return 'no disk'\n")
    add_plugin("b", "@hookimpl\ndef on_init():\n    1/0\n")
    assert run("check", config={"plugins": ["a", "b"]}).exit_code == 0
    found = run("check", "--open", config={"plugins": ["a", "b"]})
    assert (found.exit_code, found.stdout) == (1, "")
    assert "buntime: a: no disk\n" in found.stderr
    assert "buntime: b: " in found.stderr
    assert "ZeroDivisionError" in found.stderr
    adapters = {"adapters": [{"type": "sqlite", "url": "x.db"}]}
    config = {"plugins": [["@buntime/plugin-database", adapters], "@buntime/plugin-keyval"]}
    good = run("check", "--open", config=config)
    assert (good.exit_code, good.stderr) == (0, "")
    assert (tmp_path / "x.db").exists()
    server = {"adapters": [{"type": "libsql", "url": "http://127.0.0.1:9"}]}
    config["plugins"][0] = ["@buntime/plugin-database", server]
    away = run("check", "--open", config=config)
    assert away.exit_code == 1
    assert "127.0.0.1:9" in away.stderr


def test_a_folder_without_configuration(run: Any, tmp_path: Path) -> None:
    hint = (
        f"there is no buntime.jsonc in {tmp_path}: `buntime init` writes one, --config names"
        " another\n"
    )
    found = run("keys", "list")  # and does not look into a store that nobody meant
    assert found.exit_code == 1
    assert found.stderr.endswith(f"requires @buntime/plugin-database, which failed; {hint}")
    found = run("check")
    assert found.stderr == f"buntime: {hint}"
    assert not list(tmp_path.iterdir())


def test_a_new_folder(run: Any, tmp_path: Path) -> None:
    done = run("init", "shop")
    assert done.exit_code == 0
    assert done.stdout == (
        "wrote shop/.env.example\nwrote shop/buntime.jsonc\nwrote shop/compose.yaml\n"
        "Try it: cd shop; buntime serve\n"
    )
    written = (tmp_path / "shop" / "buntime.jsonc").read_text()
    assert written == (Path(__file__).parents[2] / "buntime.jsonc").read_text()
    assert run("check", "--open", "--config", "shop/buntime.jsonc").exit_code == 0
    services = yaml.safe_load((tmp_path / "shop" / "compose.yaml").read_text())["services"]
    assert services["buntime"]["command"][-1] == "/app/buntime.jsonc"
    (tmp_path / "shop" / ".env.example").unlink()
    again = run("init", "shop")
    assert (again.exit_code, again.stdout) == (1, "")
    assert (
        again.stderr == "buntime: error: shop/buntime.jsonc already exists: nothing was written\n"
    )
    assert not (tmp_path / "shop" / ".env.example").exists()


def test_a_new_folder_for_a_plugin(run: Any, tmp_path: Path) -> None:
    done = run("init", "mine", "--template", "plugin")
    assert done.exit_code == 0
    assert "wrote mine/plugins/hello/plugin.py\n" in done.stdout
    assert done.stdout.endswith("Try it: cd mine; buntime serve --reload\n")
    found = run("check", "--config", "mine/buntime.jsonc")
    assert (found.exit_code, "\n  hello" in found.stdout, found.stderr) == (0, True, "")
    assert (
        "pytest plugins/hello"
        in (tmp_path / "mine" / "plugins" / "hello" / "README.md").read_text()
    )
    (tmp_path / "mine" / "buntime.jsonc").unlink()
    again = run("init", "mine", "--template", "plugin")
    assert (again.exit_code, "hello" in again.stderr) == (1, True)
    assert not (tmp_path / "mine" / "buntime.jsonc").exists()
    assert run("init", "--template", "plugins").exit_code == 2


def test_a_named_configuration(run: Any, tmp_path: Path, add_plugin: AddPlugin) -> None:
    add_plugin("a")
    (tmp_path / "other.jsonc").write_text('{"plugins": ["a"]}')
    assert "  a\n" in run("check", "--config", "other.jsonc").stdout
    assert run("check", "--config", "gone.jsonc").exit_code == 2
