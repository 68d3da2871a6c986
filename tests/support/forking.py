"""Servers that are forked from a process which has imported everything.

To import what a server needs takes 0.6 s of processor time, to fork it 0.01 s. What every start
works out from the same classes and files is worked out once, too. Apart from that it is a process
as `python -m buntime_host` is one, with the arguments, the environment, the folder and the output
of its own.

Run as a program with the number of a socket, it is that process: it waits for orders and forks.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any

IMPORTED = (
    "buntime_host.cli",
    "buntime_host.processes.handover",
    "buntime_host.processes.server",
    "buntime_host.processes.supervisor",
    "buntime_host.processes.worker",
    "buntime_plugin_database.engines.libsql.adapter",
    "buntime_plugin_database.engines.postgres.adapter",
    "buntime_plugin_database.engines.rqlite.adapter",
    "buntime_plugin_database.engines.sqlite.engine",
    "buntime_plugin_database.plugin",
    "buntime_plugin_keyval.plugin",
    "buntime_plugin_proxy.plugin",
    "encodings.idna",
    "uvicorn.lifespan.off",
    "uvicorn.loops.uvloop",
    "uvloop",
)
"""What servers import before they serve."""
MOST_BYTES = 1 << 20


class Forked:
    """A process that was forked, as `subprocess.Popen` has it."""

    def __init__(self, args: Sequence[str], stdout: int, status: int) -> None:
        self.args = args
        self.stdout = open(stdout, encoding="utf-8")  # noqa: SIM115 - closed by who reads it
        self.returncode: int | None = None
        self._status: int | None = status
        self._told = b""
        while b"\n" not in self._told:
            self._hear()
        first, self._told = self._told.split(b"\n", 1)
        self.pid = int(first)

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        while self._status is not None and select.select([self._status], [], [], 0)[0]:
            self._hear()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises `TimeoutExpired`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._status is not None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._status], [], [], left)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._hear()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)

    def _hear(self) -> None:
        assert self._status is not None
        data = os.read(self._status, 1024)
        self._told += data
        if not data:
            os.close(self._status)
            self._status = None
            self.returncode = os.waitstatus_to_exitcode(int(self._told))


class _Forker:
    """The process that forks, for all that this one starts."""

    def __init__(self) -> None:
        self._orders, theirs = socket.socketpair()
        command = [sys.executable, __file__, str(theirs.fileno())]
        self._process = subprocess.Popen(
            command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL
        )
        theirs.close()

    def fork(self, args: Sequence[str], folder: str, environ: dict[str, str]) -> Forked:
        """`python -m` with these arguments."""
        out, their_out = os.pipe()
        status, their_status = os.pipe()
        order = json.dumps([list(args), folder, environ]).encode()
        socket.send_fds(self._orders, [b"%08d" % len(order)], [their_out, their_status])
        self._orders.sendall(order)
        os.close(their_out)
        os.close(their_status)
        return Forked(args, out, status)


_forkers: dict[Any, _Forker] = {}


def fork_python(args: Sequence[str], folder: str, environ: dict[str, str]) -> Forked:
    """Fork `python -m ARGS`, whose output and errors are what its `stdout` gives."""
    # What an interpreter looks at when it starts has to be the same.
    key = os.getpid(), *sorted(pair for pair in environ.items() if pair[0].startswith("PYTHON"))
    if key not in _forkers:
        _forkers[key] = _Forker()
    return _forkers[key].fork(args, folder, environ)


def _wait_for_orders(orders: socket.socket) -> list[str]:
    """Fork for each order; returns in the forked process, with its arguments."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait below
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        size, descriptors, _, _ = socket.recv_fds(orders, 8, 2)
        if not size:
            sys.exit()
        order = b""
        while len(order) < int(size):
            order += orders.recv(int(size) - len(order))
        out, status = descriptors
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            pid = os.fork()
            if pid == 0:
                os.close(status)
                orders.close()
                args, folder, environ = json.loads(order)
                return _become(args, folder, environ, out)
            os.close(out)
            os.write(status, b"%d\n" % pid)
            os.write(status, b"%d" % os.waitpid(pid, 0)[1])
            os._exit(0)
        os.close(out)
        os.close(status)


def _become(args: list[str], folder: str, environ: dict[str, str], out: int) -> list[str]:
    """Be what was asked for, but for running it."""
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[0] = folder
    return args


def _read_once() -> None:
    """Read what every server reads: msgspec, `re` and importlib keep what they find.

    Nothing is opened, and no random number drawn, which all that are forked would have.
    """
    from buntime_host.plugins.discovery import discover
    from buntime_plugin_database.service.config import parse_config as parse_database
    from buntime_plugin_keyval.config import parse_config as parse_keyval

    discover((), dirs_win=False)
    parse_database({"adapters": [{"type": "sqlite", "baseDir": "data"}]})
    parse_keyval({})


def main() -> None:
    """Import everything, then fork."""
    for name in IMPORTED:
        importlib.import_module(name)
    _read_once()
    gc.collect()
    gc.freeze()
    args = _wait_for_orders(socket.socket(fileno=int(sys.argv[1])))
    sys.argv = args
    runpy.run_module(args[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
