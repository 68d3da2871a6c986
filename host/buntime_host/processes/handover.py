"""A parent of workers that becomes its own successor, with new code and the same sockets.

It keeps its process id and its children: only the program is replaced. Clients that connect
meanwhile wait in the queue of a socket that is never closed.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import msgspec

VARIABLE = "BUNTIME_HANDOVER"
CHECK_SECONDS = 60

logger = logging.getLogger("App")


class HandedWorker(msgspec.Struct, frozen=True):
    """A worker of the predecessor that still serves."""

    number: int
    pid: int
    channel: int
    """File descriptor of the socket to it."""


class Handover(msgspec.Struct, frozen=True):
    """The inheritance from a predecessor. File descriptors are open, and signals blocked."""

    parent: int
    """The process id, which is that of the successor as well."""
    listeners: list[int]
    """File descriptors, one for each worker; the same one several times where they share it."""
    workers: list[HandedWorker]
    lacking: list[str] = []
    """Plugins that did not run in those workers either."""


def problem_of_new_code(config: Path | None) -> str | None:
    """Why a successor would not start, as far as `buntime check` can tell; None if it would."""
    command = [sys.executable, "-m", "buntime_host", "check"]
    if config is not None:
        command += ["--config", str(config)]
    try:
        done = subprocess.run(  # noqa: S603 - ourselves
            command, capture_output=True, text=True, timeout=CHECK_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return f"`buntime check` takes more than {CHECK_SECONDS} s"
    if done.returncode == 0:
        return None
    return "; ".join(done.stderr.splitlines()) or f"`buntime check` ends with {done.returncode}"


def become_successor(
    listeners: Iterable[socket.socket],
    workers: Iterable[tuple[int, int, socket.socket]],
    lacking: Iterable[str],
    signals: Iterable[int],
) -> None:
    """Run the command of this process again, in its place. Does not return.

    `workers` are number, process id and socket of each, `lacking` the plugins that do not run in
    them. `signals` are blocked until the successor has handlers for them.
    """
    handed = []
    sockets = [*listeners]
    for number, pid, channel in workers:
        channel.set_inheritable(True)
        handed.append(HandedWorker(number, pid, channel.fileno()))
    for sock in sockets:
        sock.set_inheritable(True)
    left = Handover(os.getpid(), [sock.fileno() for sock in sockets], handed, [*lacking])
    os.environ[VARIABLE] = msgspec.json.encode(left).decode()
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    logging.shutdown()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606 - ourselves


def take_over() -> Handover | None:
    """Read the inheritance of this process; None if there was no predecessor."""
    text = os.environ.pop(VARIABLE, None)
    if text is None:
        return None
    left = msgspec.json.decode(text, type=Handover)
    if left.parent != os.getpid():
        return None  # that of a parent of this process
    for descriptor in (*left.listeners, *(worker.channel for worker in left.workers)):
        os.set_inheritable(descriptor, False)
    return left


def listeners_of(left: Handover) -> list[socket.socket]:
    """Its sockets, one for each worker."""
    found = {descriptor: socket.socket(fileno=descriptor) for descriptor in set(left.listeners)}
    return [found[descriptor] for descriptor in left.listeners]
