"""`buntime doctor`: what it finds, what it advises, how it ends."""

from __future__ import annotations

import json
import os
import resource
import shutil
import socket
import time
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest
from buntime_host.cli import cli
from buntime_host.commands import doctor
from buntime_host.config import HostConfig, load_config
from buntime_plugin_database.engines.libsql import engine
from click.testing import CliRunner, Result
from support.sqld import free_port

DATABASE = ["@buntime/plugin-database", {"adapters": [{"type": "sqlite", "url": "a.db"}]}]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "HOST", "NODE_ENV", "BUNTIME_ENV", "BUNTIME_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def write(**settings: Any) -> None:
    Path("buntime.jsonc").write_text(json.dumps({"port": 0, "plugins": [DATABASE], **settings}))


def examine(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["doctor", *arguments])


def config(**settings: Any) -> HostConfig:
    write(**settings)
    return load_config()


def states(findings: Any) -> list[tuple[str, str]]:
    return [(finding.about, finding.state) for finding in findings]


def test_where_all_is_well() -> None:
    write()
    result = examine("--json")
    assert result.exit_code == 0, result.output
    content = json.loads(result.stdout)
    assert content["ok"] is True
    found = {finding["about"]: finding for finding in content["findings"]}
    assert [*found] == [
        "versions", "configuration", "port", "access", "permissions", "open files", "disk",
        "clock", "plugins",
    ]  # fmt: skip
    assert found["plugins"]["state"] == "ok"
    assert "apsw" in found["versions"]["text"]
    text = examine("--no-open").stdout
    assert "ok       port: 127.0.0.1 port 0 is free\n" in text
    assert "plugins:" not in text


def test_a_folder_without_a_configuration_is_looked_at_as_it_is_served(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", "0")
    result = examine()
    assert result.exit_code == 0, result.output
    assert f"warning  configuration: there is no file in {folder}: installed" in result.stdout
    assert "ok       plugins: they run, and what they keep is whole\n" in result.stdout
    opened = CliRunner().invoke(cli, ["check", "--open"])
    assert opened.exit_code == 0, opened.output
    assert "ok: 2 plugins" in opened.stdout


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        write(port=port)
        result = examine("--no-open")
    assert result.exit_code == 1
    assert (
        f"failure  port: cannot listen on 127.0.0.1 port {port}: Address already" in result.stdout
    )
    assert f"-> end what listens there (`ss -ltnp 'sport = :{port}'` shows it" in result.stdout


def test_a_file_that_is_damaged() -> None:
    write()
    connection = apsw.Connection("a.db")
    connection.execute("PRAGMA page_size = 4096; CREATE TABLE t (a); CREATE INDEX i ON t (a)")
    with connection:  # else the disk is waited for a thousand times
        connection.executemany("INSERT INTO t VALUES (?)", [("x" * 100,) for _ in range(1000)])
    found = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'i'").fetchall()
    root = int(str(found[0][0]))
    connection.close()
    with Path("a.db").open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xff" * 4096)
    result = examine()
    assert result.exit_code == 1
    (line,) = (line for line in result.stdout.splitlines() if line.startswith("failure"))
    assert line.startswith("failure  plugins: @buntime/plugin-database: sqlite: ")
    assert "restore a copy of a file that is damaged" in result.stdout


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "START_SECONDS", 0.1)
    url = f"http://127.0.0.1:{free_port()}"
    write(plugins=[["@buntime/plugin-database", {"adapters": [{"type": "libsql", "url": url}]}]])
    result = examine()
    assert result.exit_code == 1
    assert "failure  plugins: " in result.stdout
    assert url.removeprefix("http://") in result.stdout


def test_a_configuration_with_mistakes() -> None:
    write(plugins=["nope", DATABASE], strct=True)
    result = examine()
    assert result.exit_code == 1
    assert "failure  configuration: plugins[0]: nope was not found" in result.stdout
    assert "unknown keys are ignored: strct (did you mean strict?)" in result.stdout


def test_who_gets_in(monkeypatch: pytest.MonkeyPatch) -> None:
    assert states(doctor.access(config())) == [("access", "ok")]
    open_to_all = config(host="0.0.0.0")
    assert states(doctor.access(open_to_all)) == [("access", "warning")]
    told = config(host="0.0.0.0", masterKey="a secret that is long")
    Path("buntime.jsonc").chmod(0o644)
    assert states(doctor.access(told)) == [("access", "ok"), ("access", "warning")]
    Path("buntime.jsonc").chmod(0o600)
    assert states(doctor.access(told)) == [("access", "ok")]


def test_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = {"maxConnections": 1000}
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1024))
    (found,) = doctor.open_files(config(limits=limits))
    assert (found.state, "LimitNOFILE=1200" in found.advice) == ("warning", True)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 1200))
    assert states(doctor.open_files(config(limits=limits))) == [("open files", "ok")]


class Usage(NamedTuple):
    free: int


@pytest.mark.parametrize(
    ("free", "state"), [(2**31, "ok"), (500 * 2**20, "warning"), (50 * 2**20, "failure")]
)
def test_room(folder: Path, monkeypatch: pytest.MonkeyPatch, free: int, state: str) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(free))
    assert states(doctor.disk(folder)) == [("disk", state)]


def test_the_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "is_synchronised", lambda: True)
    here = config()
    assert states(doctor.clock(here)) == [("clock", "ok")]
    monkeypatch.setattr(doctor, "is_synchronised", lambda: False)
    assert states(doctor.clock(here)) == [("clock", "warning")]
    ahead = time.time() + 3600
    os.utime("buntime.jsonc", (ahead, ahead))
    assert states(doctor.clock(here)) == [("clock", "failure")]


def test_the_system_says_whether_it_keeps_time() -> None:
    assert doctor.is_synchronised() in {True, False, None}


def test_folders_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    here = config(stateDir="/proc/none")
    monkeypatch.setattr(os, "access", lambda path, _: not str(path).startswith("/proc"))
    first, second = doctor.permissions(here)
    assert (first.state, second.state) == ("warning", "ok")
    assert "give /proc to the user" in first.advice
