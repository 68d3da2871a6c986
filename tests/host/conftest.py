"""Plugins written on the fly, hosts made of them, raw ASGI calls, and real servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import Any, Protocol
from urllib.parse import unquote

import pytest
import yaml
from buntime_host.config import HostConfig, parse_config
from buntime_host.host import Host
from starlette.types import ASGIApp, Message
from support.forking import fork_python
from support.waiting import PATIENCE

HEADER = "from buntime_host import hookimpl\n"

WAITS_AT_START = """
import pathlib
log = pathlib.Path(LOG)
@hookimpl
async def on_init(ctx):
    log.write_text("init")
    await ctx.closing.wait()
@hookimpl
def on_shutdown():
    log.write_text("shutdown")
"""
"""A plugin that starts until its host ends; `LOG` is the file that has its last step."""


class AddPlugin(Protocol):
    def __call__(self, name: str, code: str = ..., /, **manifest: Any) -> Path: ...


class MakeHost(Protocol):
    def __call__(self, config: dict[str, Any] | None = None, /, **environ: str) -> Host: ...


class Call(Protocol):
    async def __call__(
        self,
        app: ASGIApp,
        method: str = ...,
        path: str = ...,
        headers: dict[str, str] | None = None,
        body: bytes | Sequence[bytes] = ...,
    ) -> Answer: ...


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    scope: dict[str, Any] = field(default_factory=dict)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of an error body, whose whole shape is checked on the way."""
        content = self.json
        assert content["success"] is False
        assert content["error"] == content["message"]
        assert self.headers["content-type"] == "application/json"
        return str(content["code"])


@pytest.fixture
def add_plugin(tmp_path: Path) -> AddPlugin:
    """Writes a plugin into `plugins/<last part of its name>` and returns the folder."""

    def add(name: str, code: str = "", /, **manifest: Any) -> Path:
        folder = tmp_path / "plugins" / name.rpartition("/")[2]
        folder.mkdir(parents=True)
        content = {"name": name, **manifest}
        (folder / "manifest.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        code = dedent(code) or "@hookimpl\ndef on_init():\n    pass\n"
        (folder / "plugin.py").write_text(HEADER + code)
        return folder

    return add


def config_of(tmp_path: Path, config: dict[str, Any], environ: dict[str, str]) -> HostConfig:
    """Checked configuration that lists every plugin in the folder, unless it lists some itself."""
    if "plugins" not in config:
        manifests = sorted((tmp_path / "plugins").glob("*/manifest.yaml"))
        config["plugins"] = [yaml.safe_load(path.read_text())["name"] for path in manifests]
    return parse_config(config, tmp_path, environ=environ)


@pytest.fixture
def make_host(tmp_path: Path) -> MakeHost:
    def make(config: dict[str, Any] | None = None, /, **environ: str) -> Host:
        return Host(config_of(tmp_path, dict(config or {}), environ), environ=environ)

    return make


@pytest.fixture
def call() -> Call:
    """Calls an ASGI application; a sequence of bytes is sent without content-length."""

    async def call_app(
        app: ASGIApp,
        method: str = "GET",
        path: str = "/",
        headers: dict[str, str] | None = None,
        body: bytes | Sequence[bytes] = b"",
    ) -> Answer:
        raw, _, query = path.partition("?")
        pairs = [(b"host", b"testserver")]
        pairs += [(k.lower().encode(), v.encode()) for k, v in (headers or {}).items()]
        chunks = [body] if isinstance(body, bytes) else list(body)
        if isinstance(body, bytes):
            if body and "content-length" not in (headers or {}):
                pairs.append((b"content-length", str(len(body)).encode()))
        else:
            pairs.append((b"transfer-encoding", b"chunked"))
        scope: dict[str, Any] = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": unquote(raw),
            "raw_path": raw.encode(),
            "query_string": query.encode(),
            "root_path": "",
            "headers": pairs,
            "client": ("127.0.0.1", 1),
            "server": ("testserver", 80),
            "state": {},
        }
        sent: list[Message] = []

        async def receive() -> Message:
            if chunks:
                chunk = chunks.pop(0)
                return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}
            await asyncio.Event().wait()  # the client stays
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        await app(scope, receive, send)
        assert sent, "no response"
        assert sent[0]["type"] == "http.response.start"
        received = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
        assert len(received) == len(sent[0]["headers"]), "a header was sent twice"
        content = b"".join(message.get("body", b"") for message in sent[1:])
        return Answer(sent[0]["status"], received, content, scope)

    return call_app


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    """Poll until `condition` is true, and return what it returned."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"timed out waiting for {what}")


class Process:
    """A real `buntime serve` on a free port."""

    def __init__(self, folder: Path, *arguments: str, environ: dict[str, str]) -> None:
        self._out = folder / "out.txt"
        self._err = folder / "err.txt"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            args = ["buntime_host", *arguments]
            self.process = fork_python(args, str(folder), environ, (out, err))

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    @property
    def port(self) -> int:
        """The port, once it listens."""
        line = wait_for(self._listening, f"start; stderr: {self.err}")
        return int(line["message"].rpartition(":")[2])

    def _listening(self) -> Any:
        assert self.process.poll() is None, f"exited early: {self.err}"
        lines = [json.loads(line) for line in self.out.splitlines() if line.endswith("}")]
        return next((line for line in lines if "listening on" in line["message"]), None)

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait(PATIENCE)


class Serve(Protocol):
    def __call__(
        self, *arguments: str, config: dict[str, Any] | None = ..., **environ: str
    ) -> Process: ...


def base_environ(**more: str) -> dict[str, str]:
    """The environment of a child process: ours, without settings that would reach the host."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("RUNTIME_", "BUNTIME_"))}
    for name in ("HOST", "PORT", "NODE_ENV", "PLUGIN_DIRS", "HOMEPAGE_APP"):
        environ.pop(name, None)
    # What comes by a bare socket is for hosts named "a" and "x".
    own = {"RUNTIME_LOG_FORMAT": "json", "RUNTIME_TRUSTED_HOSTS": "a,x"}
    return {**environ, **own, **more}


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Starts `buntime serve`, on any port; whatever still runs at the end is killed."""
    started: list[Process] = []

    def start(*arguments: str, config: dict[str, Any] | None = None, **environ: str) -> Process:
        if config is not None:
            (tmp_path / "buntime.jsonc").write_text(json.dumps(config))
        has_socket = "--socket" in arguments or "socket" in (config or {})
        port = () if has_socket else ("--port", "0")
        process = Process(tmp_path, "serve", *port, *arguments, environ=base_environ(**environ))
        started.append(process)
        return process

    yield start
    for process in started:
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """An empty file, in which plugins say what they do."""
    path = tmp_path / "log.txt"
    path.touch()
    return path


@pytest.fixture
def poll() -> Callable[[Callable[[], Any], str], Any]:
    return wait_for


@pytest.fixture
def child_environ() -> dict[str, str]:
    return base_environ()
