"""A real `buntime serve` in a process of its own, on a free port of the loopback interface."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.forking import Forked, fork_python
from support.waiting import PATIENCE

_LISTENING = re.compile(r"listening on (http://[^\s\"]+)")

DEFAULT_PLUGINS: list[Any] = [
    ["@buntime/plugin-database", {"adapters": [{"type": "sqlite", "baseDir": "data"}]}],
    "@buntime/plugin-keyval",
]


_LOOKER = """
from buntime_host import hookimpl


@hookimpl
def on_request(request, app):
    return None
"""


def add_looker(folder: Path) -> str:
    """Write a plugin that looks at all requests, so that they come by ASGI; its name."""
    plugin = folder / "plugins" / "looker"
    plugin.mkdir(parents=True)
    (plugin / "manifest.yaml").write_text("name: looker\n")
    (plugin / "plugin.py").write_text(_LOOKER)
    return "looker"


class LiveServer:
    """A running server. `url` is its origin, `api` the base of the KeyVal API."""

    def __init__(self, process: subprocess.Popen[str] | Forked, folder: Path) -> None:
        self.process = process
        self.folder = folder
        self.lines: list[str] = []
        self.url = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def api(self) -> str:
        return f"{self.url}/keyval/api"

    @property
    def output(self) -> str:
        return "".join(self.lines)

    def wait_until_listening(self, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            match = _LISTENING.search(self.output)
            if match:
                self.url = match[1]
                return
            if self.process.poll() is not None:
                break
            time.sleep(0.01)
        self.finish_reading()
        raise AssertionError(f"the server did not start:\n{self.output}")

    def has_said(self, text: str) -> bool:
        """Whether it has logged a text."""
        return text in self.output

    def wait_for_output(self, text: str) -> None:
        """Wait until the server has logged a text; what it writes arrives a little later."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.output:
            assert time.monotonic() < deadline, f"not logged: {text}\n{self.output}"
            time.sleep(0.01)

    def worker_pids(self) -> list[int]:
        """The process ids of the workers that it started with, which it tells once all listen."""
        self.wait_for_output("process ids")
        (told,) = re.findall(r"process ids ([0-9, ]+)", self.output)
        return [int(pid) for pid in told.split(",")]

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(PATIENCE)

    def stop(self, seconds: float = PATIENCE) -> int:
        """Ask it to end and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def finish_reading(self) -> None:
        """Wait for what an ended server has written, unless a process of its own lives on."""
        self._reader.join(1)

    def _read(self) -> None:
        assert self.process.stdout is not None
        # Closed here alone: a file that another thread closes fails under the one that reads.
        with self.process.stdout as output:
            for line in output:
                self.lines.append(line)


@contextmanager
def live_server(
    folder: Path,
    config: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    workers: int = 1,
    forked: bool = True,
) -> Iterator[LiveServer]:
    """Start a server whose configuration and data are in `folder`; it is stopped at the end.

    It is forked from a process that has all modules, which saves most of the time. Not `forked` are
    servers that look for modules elsewhere.
    Starting a second one on the same folder gives a second process on the same database.
    """
    sys.audit("support.live_server")  # whether this test may is for tests/conftest.py to say
    path = folder / "buntime.jsonc"
    if config is not None or not path.exists():
        path.write_text(json.dumps(config or {"plugins": DEFAULT_PLUGINS}))
    arguments = ["buntime_host", "serve", "--config", str(path), "--port", "0"]
    variables = {
        **os.environ,
        "RUNTIME_LOG_FORMAT": "json",
        "RUNTIME_WORKERS": str(workers),
        **(environ or {}),
    }
    process: subprocess.Popen[str] | Forked
    if forked:
        process = fork_python(arguments, str(folder), variables)
    else:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments],
            cwd=folder,
            env=variables,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    server = LiveServer(process, folder)
    try:
        server.wait_until_listening()
        yield server
    finally:
        if process.poll() is None:
            server.stop()
        server.finish_reading()
