"""Processes that a run starts; each ends when its `with` ends, however that comes about."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

STOP_SECONDS = 15.0


def environment() -> dict[str, str]:
    """This process's environment for another one, with compiled modules.

    An installed program has them; without them a start would measure Python's compiler.
    """
    return {n: v for n, v in os.environ.items() if n != "PYTHONDONTWRITEBYTECODE"}


@contextmanager
def started(command: Sequence[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process in a folder, with pipes for what it reads and prints."""
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the others
    ) as process:
        try:
            yield process
        finally:
            _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def read_line(process: subprocess.Popen[str], seconds: float) -> str:
    """The next line that the process prints; empty when it ends or is late."""
    assert process.stdout is not None
    timer = threading.Timer(seconds, process.kill)
    timer.start()
    try:
        return process.stdout.readline()
    finally:
        timer.cancel()


def resident_mib(pid: int) -> float:
    """Resident memory of a process and those that it started."""
    statuses = [Path(f"/proc/{own}/status").read_text(encoding="ascii") for own in _family(pid)]
    lines = [line for status in statuses for line in status.splitlines()]
    return sum(float(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def reset_peak(pid: int) -> None:
    """Let `peak_mib` start anew."""
    for own in _family(pid):
        Path(f"/proc/{own}/clear_refs").write_text("5", encoding="ascii")


def peak_mib(pid: int) -> float:
    """The most memory that a process and those that it started had since `reset_peak`."""
    statuses = [Path(f"/proc/{own}/status").read_text(encoding="ascii") for own in _family(pid)]
    lines = [line for status in statuses for line in status.splitlines()]
    return sum(float(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024


def want_files() -> None:
    """Take all the file descriptors that the system allows; what is started inherits them."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and those that it started, to the nanosecond."""
    tasks = (task for own in _family(pid) for task in Path(f"/proc/{own}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def cpu_of_children(pid: int) -> dict[int, float]:
    """The same of each process that one has started, by their ids."""
    return {child: cpu_seconds(child) for child in _family(pid) if child != pid}


def _family(pid: int) -> Iterator[int]:
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text(encoding="ascii").split():
            yield from _family(int(child))


def free_port() -> int:
    """A port of the loopback interface that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
