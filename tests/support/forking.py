"""Servers and commands that are forked from a process which has imported everything.

To import what a server needs takes 0.6 s of processor time, to fork it 0.01 s. What every start
works out from the same classes and files is worked out once, too. Apart from that it is a process
as `python -m buntime_host` is one, with the arguments, the environment, the folder and the
standard streams of its own.

A test has a server by `fork_python`. For shells, terminals and `subprocess` there are programs:
`forking_program` writes one that has such a process forked, hands it its streams, passes signals on
and ends as it ends. That takes 0.03 s.

Run as a program with the number of a listening socket and the folder that it is in, it is that
process: it waits for orders and forks.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.metadata
import io
import marshal
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NoReturn, TextIO

IMPORTED = (
    "buntime_host.cli",
    "buntime_host.commands.key_commands",
    "buntime_host.http.relay",
    "buntime_host.processes.handover",
    "buntime_host.processes.server",
    "buntime_host.processes.supervisor",
    "buntime_host.processes.worker",
    "buntime_host.routes.api_docs",
    "buntime_host.routes.core_routes",
    "buntime_host.routes.key_routes",
    "buntime_host.routes.session_routes",
    "buntime_host.routing.route_table",
    "buntime_keyval.cli.direct.group",
    "buntime_keyval.cli.group",
    "buntime_keyval.embedded",
    "buntime_plugin_database.engines.libsql.adapter",
    "buntime_plugin_database.engines.postgres.adapter",
    "buntime_plugin_database.engines.rqlite.adapter",
    "buntime_plugin_database.engines.sqlite.engine",
    "buntime_plugin_database.faces.served",
    "buntime_plugin_database.plugin",
    "buntime_plugin_gateway.plugin",
    "buntime_plugin_keyval.faces.engine.engine",
    "buntime_plugin_keyval.faces.local.kv",
    "buntime_plugin_keyval.plugin",
    "buntime_plugin_proxy.plugin",
    "encodings.idna",
    "rich.progress",
    "rich.table",
    "starlette.staticfiles",
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.loops.uvloop",
    "uvloop",
)
"""What servers and commands import before they do anything."""
_AT_START = ("PYTHON", "LANG", "LC_")
"""What variables begin with that an interpreter looks at when it starts."""

_PROGRAM = """\
#!{python} -IS
import marshal, os, signal, socket, sys

arguments = ["-m", {module!r}, *sys.argv[1:]]
environ = dict(os.environ)
if sorted(pair for pair in environ.items() if pair[0].startswith({at_start})) != {same}:
    os.execv({python!r}, [{python!r}, *arguments])
order = marshal.dumps((arguments[1:], os.getcwd(), environ))
with socket.socket(socket.AF_UNIX) as orders:
    orders.connect({address!r})
    socket.send_fds(orders, [b"%08d" % len(order)], [0, 1, 2])
    orders.sendall(order)
    told = orders.makefile()
    pid = int(told.readline())

    def pass_on(number, frame):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass  # it has just ended

    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    code = os.waitstatus_to_exitcode(int(told.readline()))
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Forked:
    """A process that was forked, as `subprocess.Popen` has it."""

    def __init__(self, args: Sequence[str], stdout: TextIO | None, told: socket.socket) -> None:
        self.args = args
        self.stdout = stdout
        self.returncode: int | None = None
        self._connection: socket.socket | None = told
        self._told = b""
        while b"\n" not in self._told:
            self._hear()
        first, self._told = self._told.split(b"\n", 1)
        self.pid = int(first)

    def poll(self) -> int | None:
        """Its exit status, None while it runs."""
        while self._connection is not None and select.select([self._connection], [], [], 0)[0]:
            self._hear()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit status. Raises `TimeoutExpired`."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._connection is not None:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not select.select([self._connection], [], [], left)[0]:
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
        assert self._connection is not None
        data = self._connection.recv(1024)
        self._told += data
        if not data:
            self._connection.close()
            self._connection = None
            self.returncode = os.waitstatus_to_exitcode(int(self._told))


class _Forker:
    """The process that forks, for all that this one starts; it ends with this one."""

    def __init__(self, same: list[tuple[str, str]]) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="forking-"))
        self.same = same
        self.address = str(self.folder / "orders")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(self.address)
            listener.listen(128)
            command = [sys.executable, __file__, str(listener.fileno()), str(self.folder)]
            others = (it for it in os.environ.items() if not it[0].startswith(_AT_START))
            self._process = subprocess.Popen(
                command,
                pass_fds=[listener.fileno()],
                stdin=subprocess.PIPE,
                env=dict([*others, *same]),
            )

    def order(
        self, args: Sequence[str], folder: str, environ: dict[str, str], out: int, err: int
    ) -> socket.socket:
        """Have `python -m` forked with these arguments; what tells of the process."""
        order = marshal.dumps((list(args), folder, environ))
        told = socket.socket(socket.AF_UNIX)
        told.connect(self.address)
        with open(os.devnull) as nothing:
            socket.send_fds(told, [b"%08d" % len(order)], [nothing.fileno(), out, err])
        told.sendall(order)
        return told


_forkers: dict[Any, _Forker] = {}


def _forker_for(environ: Mapping[str, str]) -> _Forker:
    """That of this process for whatever an interpreter would find the same at its start."""
    same = sorted(pair for pair in environ.items() if pair[0].startswith(_AT_START))
    key = os.getpid(), *same
    if key not in _forkers:
        _forkers[key] = _Forker(same)
    return _forkers[key]


def fork_python(
    args: Sequence[str],
    folder: str,
    environ: dict[str, str],
    files: tuple[IO[bytes], IO[bytes]] | None = None,
) -> Forked:
    """Fork `python -m ARGS`.

    Its output and its errors go to `files`; without them both are what its `stdout` gives.
    """
    forker = _forker_for(environ)
    if files is not None:
        out, err = (file.fileno() for file in files)
        return Forked(args, None, forker.order(args, folder, environ, out, err))
    ours, theirs = os.pipe()
    try:
        told = forker.order(args, folder, environ, theirs, theirs)
    finally:
        os.close(theirs)
    return Forked(args, open(ours, encoding="utf-8"), told)


def forking_program(module: str, name: str) -> Path:
    """A program of this name that is as good as `python -m MODULE`, in a folder with its likes.

    Who kills it kills what was forked. Where a variable differs that an interpreter looks at when
    it starts, it does start one. Its limits (`ulimit`) are not passed on.
    """
    forker = _forker_for(os.environ)
    program = forker.folder / name
    if not program.exists():
        text = _PROGRAM.format(
            python=sys.executable, module=module, at_start=_AT_START, same=forker.same,
            address=forker.address,
        )  # fmt: skip
        program.write_text(text)
        program.chmod(0o755)
    return program


def _wait_for_orders(listener: socket.socket) -> list[str]:
    """Fork for each order; returns in the forked process, with its arguments.

    Ends when stdin does, which a process has that is gone by then.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait below
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while listener.fileno() in select.select([listener.fileno(), 0], [], [])[0]:
        connection, _ = listener.accept()
        order, streams = _read_order(connection)
        if order and os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            pid = os.fork()
            if pid == 0:
                connection.close()
                args, folder, environ = marshal.loads(order)
                return _become(args, folder, environ, streams)
            for descriptor in (0, *streams):
                os.close(descriptor)
            _tell(connection, pid)
        for descriptor in streams:
            os.close(descriptor)
        connection.close()
    shutil.rmtree(sys.argv[2])
    sys.exit()


def _read_order(connection: socket.socket) -> tuple[bytes, list[int]]:
    """What is to be forked, and its three streams; nothing if who ordered it is gone."""
    size, streams, _, _ = socket.recv_fds(connection, 8, 3)
    order = b""
    while size and len(order) < int(size):
        data = connection.recv(int(size) - len(order))
        if not data:
            return b"", streams
        order += data
    return order, streams


def _tell(connection: socket.socket, pid: int) -> NoReturn:
    """Tell who ordered a process of it and of its end; end it if nobody listens any more."""
    connection.sendall(b"%d\n" % pid)
    ended = os.pidfd_open(pid)
    if ended not in select.select([ended, connection.fileno()], [], [])[0]:
        os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    with suppress(BrokenPipeError):
        connection.sendall(b"%d" % status)
    os._exit(0)


def _become(args: list[str], folder: str, environ: dict[str, str], streams: list[int]) -> list[str]:
    """Be what was asked for, but for running it."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    assert isinstance(sys.stdout, io.TextIOWrapper)
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # as an interpreter opens it
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[0] = folder
    sys.orig_argv = [sys.executable, "-m", *args]
    return args


def _read_once() -> None:
    """Read what every server reads: msgspec, `re` and importlib keep what they find.

    Nothing is opened, and no random number drawn, which all that are forked would have.
    """
    from buntime_host.config import parse_config
    from buntime_host.plugins.discovery import discover
    from buntime_plugin_database.service.config import parse_config as parse_database
    from buntime_plugin_keyval.config import parse_config as parse_keyval

    parse_config({}, Path())
    discover((), dirs_win=False)
    parse_database({"adapters": [{"type": "sqlite", "baseDir": "data"}]})
    parse_keyval({})


def main() -> None:
    """Import everything, then fork."""
    code = 0

    def end() -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    # Before all that is imported has anything to do at the end, which is why it comes last. To take
    # down each module would cost a forked process more than all that it does.
    atexit.register(end)
    # What is installed stays the same, and each start looks through all of it three times.
    installed = importlib.metadata.entry_points()
    importlib.metadata.entry_points = installed.select
    for name in IMPORTED:
        importlib.import_module(name)
    _read_once()
    gc.collect()
    gc.freeze()
    sys.argv = _wait_for_orders(socket.socket(fileno=int(sys.argv[1])))
    code = 1
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else int(ending.code is not None)
        raise
    except KeyboardInterrupt:
        atexit.unregister(end)  # it ends by the signal
        raise


if __name__ == "__main__":
    main()
