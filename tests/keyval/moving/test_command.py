"""`buntime move`, as it is called."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from buntime_host.config import load_config
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.command.config_file import check_config, write_config
from buntime_plugin_keyval.command.move import move as move_command
from buntime_plugin_keyval.features.moving.checks import MoveRefused
from click.testing import CliRunner, Result
from keyval.moving.support import fill, open_store
from keyval.service.world import FAST
from support.api import api_of
from support.forking import forking_program
from support.live import live_server

pytestmark = pytest.mark.slow

CONFIG = """{
  // Where everything is.
  "plugins": [
    ["@buntime/plugin-database", {"adapters": [
      {"type": "sqlite", "url": "file:a.db", "default": true}, // the old one
    ]}],
    ["@buntime/plugin-keyval", {/* nothing yet */}],
  ],
}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One with a configuration, and a store in `a.db`."""

    async def make() -> None:
        async with open_store(SqliteAdapter(str(tmp_path / "a.db"), options=FAST)) as world:
            await fill(world)

    asyncio.run(make())
    (tmp_path / "buntime.jsonc").write_text(CONFIG)
    return tmp_path


def move(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(forking_program("buntime_host", "buntime")), "move", *arguments]
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )


def names_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def told(run: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    assert run.returncode == 0, run.stderr
    content: dict[str, Any] = json.loads(run.stdout)
    return content


def test_it_tells_what_it_would_do_then_does_it(folder: Path) -> None:
    dry = told(move(folder, "--from", "sqlite", "--to", "b.db", "--dry-run", "--json"))
    assert (dry["state"], dry["entries"], dry["letters"]) == ("would be moved", 43, 1)
    run = move(folder, "--from", "sqlite", "--to", "./b.db", "--json")
    done = told(run)
    assert (done["state"], done["entries"], done["repaired"]) == ("moved", 43, 0)
    assert "copying entries: 43 of 43" in run.stderr
    again = move(folder, "--from", "sqlite", "--to", "./c.db")
    assert (again.returncode, again.stdout) == (3, "")
    assert "already moved to file:" in again.stderr
    back = told(move(folder, "--from", "b.db", "--to", "d.db", "--json"))
    assert back["entries"] == 43


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--from", "sqlite"], 2, "Missing option"),
        (["--from", "none.db", "--to", "b.db"], 3, "there is no store in file:"),
        (["--from", "sqlite", "--to", "/proc/b.db"], 1, "/proc/b.db"),
    ],
)
def test_what_is_wrong_is_told(folder: Path, arguments: list[str], code: int, text: str) -> None:
    before = names_in(folder)
    run = move(folder, *arguments)
    said = " ".join(run.stderr.split())
    assert (run.returncode, text in said) == (code, True), run.stderr
    assert "Traceback" not in run.stderr
    assert names_in(folder) == before


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (
            ["--from", "mysql", "--to", "b.db"],
            2,
            "not an adapter of the configuration (there: sqlite",
        ),
        (["--from", "", "--to", "b.db"], 2, "'' is not an adapter of the configuration"),
        (["--from", "sqlite", "--to", ""], 2, "'' is not an adapter of the configuration"),
        (
            ["--from", "sqlite", "--to", "file:"],
            2,
            "'file:' is not an adapter of the configuration",
        ),
        (["--from", "sqlite", "--to", ":memory:"], 2, "a database in memory is gone"),
        (["--from", "file::memory:", "--to", "b.db"], 2, "a database in memory is gone"),
        (["--from", "mysql://x/y", "--to", "b.db"], 2, "mysql:// is not known: use libsql://"),
        (["--from", "sqlite", "--to", "file:b.db?mode=rw"], 2, "a file has no parameters"),
        (["--from", "sqlite", "--to", "b.db", "--config", "none.jsonc"], 2, "does not exist"),
        (["--from", "sqlite", "--to", "b.db", "--write-config"], 2, "must be an adapter"),
        (["--from", "sqlite", "--to", "b.db"], 3, "there is no store in sqlite: see --from"),
        (["--from", "none.db", "--to", "b.db", "--abort"], 3, "there is no store in file:"),
        (["--from", "there.db", "--to", "none/b.db"], 3, "none: create it, or correct the path"),
        (["--from", "there.db", "--to", "./none/b.db", "--dry-run"], 3, "there is no folder /"),
        (["--from", "there.db", "--to", "/proc"], 3, "/proc is a folder: name a file in it"),
    ],
)
def test_it_is_refused_by_what_was_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, text: str
) -> None:
    (tmp_path / "buntime.jsonc").write_text(CONFIG)
    (tmp_path / "there.db").write_text("not looked at")
    before = names_in(tmp_path)
    monkeypatch.chdir(tmp_path)
    run = CliRunner().invoke(move_command, arguments)
    said = " ".join(run.output.split())
    assert (run.exit_code, text in said) == (code, True), run.output
    assert names_in(tmp_path) == before


def test_what_is_refused_or_only_tried_leaves_no_file(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "empty.db").touch()
    (folder / "else.db").write_text("something else, which is no database at all" * 50)
    before = names_in(folder)
    monkeypatch.chdir(folder)

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(move_command, arguments)

    for target in ("b.db", "empty.db"):
        dry = run("--from", "sqlite", "--to", target, "--dry-run", "--json")
        assert json.loads(dry.stdout)["entries"] == 43
    given_up = run("--from", "a.db", "--to", "b.db", "--abort", "--json")
    assert json.loads(given_up.stdout) == {"state": "no move under way"}
    wrong = run("--from", "sqlite", "--to", "else.db")
    assert (wrong.exit_code, "not a database" in wrong.stderr) == (1, True), wrong.stderr
    assert names_in(folder) == before
    assert (folder / "empty.db").stat().st_size == 0


def test_a_move_that_never_was_is_given_up(folder: Path) -> None:
    run = told(move(folder, "--from", "sqlite", "--to", "b.db", "--abort", "--json"))
    assert run == {"state": "no move under way"}


def test_a_server_takes_no_writes_then_and_one_on_the_new_file_goes_on(folder: Path) -> None:
    with live_server(folder) as old:
        done = told(move(folder, "--from", "sqlite", "--to", "b.db", "--json"))
        assert done["state"] == "moved"
        with api_of(old.api) as api:
            refused = api.send("PUT", "/keys/a", 1)
            assert (refused.status_code, refused.json()["code"]) == (503, "KEYVAL_MOVED")
            assert refused.headers["retry-after"] == "5"
            assert api.send("GET", "/keys/long").status_code == 200
    with live_server(folder) as again, api_of(again.api) as api:
        again.wait_for_output("was moved to file:")
        assert api.send("GET", "/keys/long").status_code == 200
        assert api.send("PUT", "/keys/a", 1).status_code == 503
    (folder / "buntime.jsonc").write_text(CONFIG.replace("a.db", "b.db"))
    with live_server(folder) as new, api_of(new.api) as api:
        assert api.send("PUT", "/keys/a", 1).status_code == 200
        assert api.send("GET", "/keys/long").status_code == 200


@pytest.mark.parametrize(
    ("listed", "written"),
    [
        ('["@buntime/keyval", {/* x */}]', '["@buntime/keyval", { "database": "b" /* x */}]'),
        ('["@buntime/keyval", {"database": "a",}]', '["@buntime/keyval", {"database": "b",}]'),
        ('["@buntime/keyval", {"n": 1}]', '["@buntime/keyval", { "database": "b","n": 1}]'),
        ('"@buntime/keyval"', '["@buntime/keyval", {"database": "b"}]'),
    ],
)
def test_the_configuration_is_told_and_keeps_its_comments(
    tmp_path: Path, listed: str, written: str
) -> None:
    file = tmp_path / "buntime.jsonc"
    text = '\ufeff{ // é\n "plugins": ["x", %s, /* y */],\n}\n'
    file.write_text(text % listed, "utf-8")
    config = load_config(file)
    check_config(config, file)
    write_config(config, file, "b")
    assert file.read_text("utf-8") == text % written
    assert load_config(file).plugins


def test_a_configuration_that_does_not_list_the_plugin_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "buntime.jsonc"
    file.write_text('{"plugins": []}')
    with pytest.raises(MoveRefused, match="lists @buntime/plugin-keyval"):
        check_config(load_config(file), file)
