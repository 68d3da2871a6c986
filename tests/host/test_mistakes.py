"""What people type and write wrong, and what they are told: a line, and a status that says whose.

2 is for what was typed, 1 for what cannot be done.
"""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_host.cli import cli
from click.testing import CliRunner

STORE: dict[str, Any] = {
    "plugins": [
        ["@buntime/plugin-database", {"adapters": [{"type": "sqlite", "url": "a.db"}]}],
    ]
}
BUSY = "{busy}"
"""Stands for a port that somebody listens on."""


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    """The process's log, put back after commands that have taken it over."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    handlers, levels = root.handlers[:], (root.level, uvicorn.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    uvicorn.setLevel(levels[1])
    logging.captureWarnings(capture=False)


@pytest.fixture(scope="module")
def busy() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield str(server.getsockname()[1])


@pytest.mark.parametrize(
    ("command", "content", "status", "told"),
    [
        ("serv", None, 2, "No such command 'serv'. Did you mean 'serve'?"),
        ("serve --prot 1", None, 2, "No such option '--prot'."),
        ("serve --port 70000", None, 2, "'--port': 70000 is not in the range 0<=x<=65535"),
        ("serve --port abc", None, 2, "'--port': 'abc' is not a valid integer"),
        ("serve --workers 0", None, 2, "'--workers': 0 is not in the range 1<=x<=64"),
        ("serve --socket s --port 1", None, 2, "--socket takes the place of --host and --port."),
        ("serve --tls-key k", {"plugins": []}, 1, "tls.key: has no effect without tls.cert"),
        ("serve --tls-cert gone.pem", {"plugins": []}, 1, "gone.pem cannot be read: No such file"),
        ("check", {"plugins": [], "tls": {"cert": "gone.pem"}}, 1, "gone.pem cannot be read"),
        ("check", {"basePath": "store"}, 1, "basePath: must be a path such as"),
        ("serve more", None, 2, "Got unexpected extra argument (more)"),
        ("serve --config gone.jsonc", None, 2, "File 'gone.jsonc' does not exist"),
        ("check --config gone.jsonc", None, 2, "File 'gone.jsonc' does not exist"),
        ("plugins --config gone.jsonc", None, 2, "File 'gone.jsonc' does not exist"),
        ("keys list --config gone.jsonc", None, 2, "File 'gone.jsonc' does not exist"),
        ("doctor --config gone.jsonc", None, 2, "File 'gone.jsonc' does not exist"),
        ("check --config .", None, 2, "File '.' is a directory"),
        ("check", '{"plugins": [] "port": 1}', 1, "Failed to parse: line 1, column 16"),
        ("check", '{"plugins": [', 1, "[buntime.jsonc] Failed to parse: line 1, column 14"),
        ("check", "[]", 1, "[buntime.jsonc] the top level must be an object"),
        ("check", {"plugin": []}, 1, "unknown keys are ignored: plugin (did you mean plugins?)"),
        (
            "check",
            {"plugins": [], "observe": {"acessLog": "json"}},
            0,
            "unknown keys are ignored: observe.acessLog",
        ),
        ("check", {"port": "x"}, 1, "[buntime.jsonc] port: must be a number"),
        ("check", {"logLevel": "loud"}, 1, "logLevel: must be one of debug, info, warn, error"),
        ("check", {"plugins": {}}, 1, "[buntime.jsonc] plugins: must be an array"),
        ("check", {"plugins": [7]}, 1, "plugins[0]: must be a name, [name] or [name, options]"),
        (
            "check",
            {"plugins": ["@buntime/plugin-keyvall"]},
            1,
            "among the installed packages, or as a module (did you mean @buntime/plugin-keyval?)",
        ),
        (
            "check",
            {"plugins": ["@buntime/plugin-keyval"]},
            1,
            "requires @buntime/plugin-database, which is installed but not listed in plugins",
        ),
        ("check", {"trustedOrigins": ["app.example"]}, 1, "'app.example' is not an origin"),
        (
            "check",
            {"trustedHosts": ["https://a"]},
            1,
            "trustedHosts: 'https://a' is not a host name",
        ),
        ("check", {"headerTimeout": "soon"}, 1, "headerTimeout: "),
        (
            f"serve --port {BUSY}",
            {"plugins": []},
            1,
            f"cannot listen on 127.0.0.1 port {BUSY}: Address already in use",
        ),
        ("serve --host 0.0.0.0 --port 0", {"plugins": []}, 1, "on 0.0.0.0 without a key: set"),
        ("serve --host no.host.invalid", {"plugins": []}, 1, "cannot listen on no.host.invalid"),
        ("init", {}, 1, "buntime.jsonc already exists: nothing was written"),
        ("keys create", STORE, 2, "Missing option '--name'"),
        ("keys create --name a", STORE, 1, "A key without a role needs permissions"),
        ("keys create --name a --role king", STORE, 1, "Invalid role: 'king': use admin, editor"),
        ("keys create --name a --role viewer --expires soon", STORE, 1, "'soon': use"),
        ("keys create --name a --grant kv", STORE, 1, "'kv'"),
        ("keys show nothing", STORE, 1, "Invalid key id: it has 8 letters and digits"),
        ("keys show abcdefgh", STORE, 1, "There is no such key"),
    ],
)
def test_what_is_told(
    command: str,
    content: Any,
    status: int,
    told: str,
    busy: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PORT", "HOST", "NODE_ENV", "BUNTIME_ENV", "BUNTIME_CONFIG"):
        monkeypatch.delenv(name, raising=False)
    if content is not None:
        text = content if isinstance(content, str) else json.dumps(content)
        Path("buntime.jsonc").write_text(text)
    result = CliRunner().invoke(cli, command.replace(BUSY, busy).split())
    assert result.exit_code == status, result.output
    assert told.replace(BUSY, busy) in result.stderr
    assert "Traceback" not in result.output
    if status == 1:
        *_, line = result.stderr.splitlines()
        assert line.startswith("buntime: ")
        assert "there is no buntime.jsonc" not in line


def test_a_variable_that_is_wrong_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PORT", "abc")
    result = CliRunner().invoke(cli, ["check"])
    assert (result.exit_code, result.stdout) == (1, "")
    assert "port: PORT must be a number" in result.stderr
    monkeypatch.setenv("BUNTIME_CONFIG", "gone.jsonc")
    result = CliRunner().invoke(cli, ["check"])
    assert result.exit_code == 2
    assert "File 'gone.jsonc' does not exist" in result.stderr
