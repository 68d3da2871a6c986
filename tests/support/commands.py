"""A command that shells start, which runs in this process.

To start Python and load the modules of a command takes half a second of processor time; to hand
over what it was called with takes a hundredth.
"""

from __future__ import annotations

import marshal
import socketserver
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from click.testing import CliRunner

_CALLER = """\
#!{python} -IS
import marshal, socket, sys

with socket.socket(socket.AF_UNIX) as calls:
    calls.connect({address!r})
    calls.sendall(marshal.dumps((sys.argv[1:], sys.stdin.buffer.read())))
    calls.shutdown(socket.SHUT_WR)
    status, out, err = marshal.load(calls.makefile("rb"))
sys.stdout.buffer.write(out)
sys.stderr.buffer.write(err)
sys.exit(status)
"""


@contextmanager
def command_for_shells(command: click.Command, name: str, folder: Path) -> Iterator[None]:
    """Put a program of this name into a folder, whose calls this process answers one by one.

    They get what it writes once it has ended. The working directory is that of this process.
    """
    address = folder / "calls"

    class Call(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            arguments, given = marshal.load(self.rfile)
            done = CliRunner().invoke(command, arguments, input=given, prog_name=name)
            marshal.dump((done.exit_code, done.stdout_bytes, done.stderr_bytes), self.wfile)

    program = folder / name
    program.write_text(_CALLER.format(python=sys.executable, address=str(address)))
    program.chmod(0o755)
    with socketserver.UnixStreamServer(str(address), Call) as server:
        answering = threading.Thread(target=server.serve_forever)
        answering.start()
        try:
            yield
        finally:
            server.shutdown()
            answering.join()
