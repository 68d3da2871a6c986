"""How many instructions a server takes for a request: a figure that a busy machine does not change.

Counted in user mode, in all threads of the server, by `perf` where the system allows it, else by
valgrind, in which the server runs some fifty times slower.
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from client import BenchmarkError

EVENT = "instructions:u"
CONTROL_SECONDS = 20
"""Within which one of their programs answers."""
ANSWER_SECONDS = 20


class Counter(Protocol):
    """Counts what one process does."""

    @property
    def name(self) -> str:
        """The program that counts."""

    @property
    def requests(self) -> int:
        """How many requests to count, for a figure that says something."""

    def prefix(self, folder: Path) -> Sequence[str]:
        """What the command of the process has to begin with."""

    def warmed(self, pid: int) -> None:
        """The process has done everything once: from now on it may be counted."""

    def counted(self, pid: int, work: Callable[[], None]) -> int:
        """Instructions of the process while this goes on. Raises `BenchmarkError`."""


class Perf:
    """The counters of the processor, by `perf stat`."""

    name = "perf"
    requests = 3_200

    def __init__(self, perf: str) -> None:
        self._perf = perf

    def prefix(self, folder: Path) -> Sequence[str]:  # noqa: ARG002 - see `Counter`
        """See `Counter`."""
        return ()

    def warmed(self, pid: int) -> None:
        """See `Counter`."""

    def counted(self, pid: int, work: Callable[[], None]) -> int:
        """See `Counter`."""
        # It counts as long as its command runs, which says when it begins.
        command = ["sh", "-c", "echo; exec cat"]
        with subprocess.Popen(
            [self._perf, "stat", "-x", ",", "-e", EVENT, "-p", str(pid), "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            work()
            _, told = process.communicate(timeout=CONTROL_SECONDS)
        count = told.partition(",")[0]
        if not count.isdigit():
            raise BenchmarkError(f"perf counted nothing: {told.strip()}")
        return int(count)


class Callgrind:
    """Valgrind, of which `callgrind_control` asks."""

    name = "callgrind"
    requests = 160

    def __init__(self, valgrind: str, control: str) -> None:
        self._valgrind = valgrind
        self._control = control

    def prefix(self, folder: Path) -> Sequence[str]:
        """See `Counter`."""
        output = f"--callgrind-out-file={folder / 'callgrind.out'}"
        # Until it is told to count, it is five times slower and not fifty.
        return [self._valgrind, "-q", "--tool=callgrind", "--instr-atstart=no", output]

    def warmed(self, pid: int) -> None:
        """See `Counter`."""
        self._ask(pid, "--instr=on")

    def counted(self, pid: int, work: Callable[[], None]) -> int:
        """See `Counter`."""
        self._ask(pid, "--zero")
        work()
        told = self._ask(pid, "-e")
        threads = re.findall(r"^ +Th \d+ +([\d,]+) *$", told, re.MULTILINE)
        if not threads:
            raise BenchmarkError(f"callgrind counted nothing: {told.strip()}")
        return sum(int(count.replace(",", "")) for count in threads)

    def _ask(self, pid: int, what: str) -> str:
        try:
            asked = subprocess.run(
                [self._control, what, str(pid)],
                capture_output=True,
                text=True,
                check=True,
                timeout=CONTROL_SECONDS,
            )
        except subprocess.SubprocessError as error:
            raise BenchmarkError(f"callgrind_control failed: {error}") from error
        return asked.stdout


def find_counter() -> Counter | None:
    """What counts on this machine."""
    if (perf := shutil.which("perf")) and _counts(perf):
        return Perf(perf)
    valgrind, control = shutil.which("valgrind"), shutil.which("callgrind_control")
    return Callgrind(valgrind, control) if valgrind and control else None


def _counts(perf: str) -> bool:
    """Whether the system lets perf count: many a virtual machine has no counters."""
    tried = subprocess.run(
        [perf, "stat", "-x", ",", "-e", EVENT, "--", "true"],
        capture_output=True,
        text=True,
        check=False,
    )
    return tried.returncode == 0 and tried.stderr.partition(",")[0].isdigit()


class Connections:
    """Connections of a server, all of which ask at once and then wait for all answers."""

    def __init__(self, origin: str, count: int) -> None:
        parts = urlsplit(origin)
        with ExitStack() as stack:
            self._sockets = [
                stack.enter_context(
                    socket.create_connection((parts.hostname, parts.port), ANSWER_SECONDS)
                )
                for _ in range(count)
            ]
            self._closing = stack.pop_all()

    def send(self, requests: Sequence[bytes]) -> None:
        """Send all, as many at once as there are connections. Raises `BenchmarkError`."""
        at_once = len(self._sockets)
        for start in range(0, len(requests), at_once):
            together = requests[start : start + at_once]
            for connection, request in zip(self._sockets, together, strict=False):
                connection.sendall(request)
            for connection in self._sockets[: len(together)]:
                _read_answer(connection)

    def close(self) -> None:
        """Close all."""
        self._closing.close()


def _read_answer(connection: socket.socket) -> None:
    received = b""
    while b"\r\n\r\n" not in received:
        received += _read(connection)
    head, _, body = received.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    if not head.startswith(b"HTTP/1.1 200 ") or length is None:
        raise BenchmarkError(f"wrong answer: {received[:200]!r}")
    missing = int(length[1]) - len(body)
    while missing > 0:
        missing -= len(_read(connection))


def _read(connection: socket.socket) -> bytes:
    if data := connection.recv(65_536):
        return data
    raise BenchmarkError("the server closed the connection")
