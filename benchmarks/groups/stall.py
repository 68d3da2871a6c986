"""`stall`: what strangers send, and how long another client has to wait meanwhile.

The rows are in `hostile.py`, `hostile_bodies.py` and `hostile_answers.py`. A well-behaved client
(`bystander.py`) runs in a process of its own. The log of the server goes into a pipe that nobody
reads.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from client import BenchmarkError
from contenders import HERE, Buntime
from group import Group, Job, Plan, Selection, Settings
from hostile import ROWS as CONNECTIONS
from hostile import Hostile
from hostile_answers import ANSWERS
from hostile_bodies import BODIES
from processes import peak_mib, read_line, reset_peak, resident_mib, started, want_files
from results import Cell, Measurement, Row, Section

OURS = "Buntime"
ROWS = (*CONNECTIONS, *BODIES, *ANSWERS)
QUIET = Hostile("quiet", "nothing", lambda _: (), 0)
MOST_MIB = 300
START_SECONDS = 10.0
CONNECT_SECONDS = 5.0
OPENED_AT_ONCE = 100
READ_BYTES = 1 << 20
SAMPLE_SECONDS = 0.02


class Stalled(Buntime):
    """The product, whose log nobody reads."""

    log_is_read = False


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    want_files()
    rows = [row for row in (QUIET, *ROWS) if row.name in chosen["stall"]]
    jobs = [_job(row, folder, settings.seconds) for row in rows]
    yield Plan(jobs, [SECTION])


def _job(row: Hostile, folder: Path, seconds: int) -> Job:
    numbers = iter(range(1_000))

    def measure() -> Mapping[Cell, Measurement]:
        # A server for each: what one row left behind is not the next one's.
        home = folder / f"{row.name}-{next(numbers)}"
        home.mkdir()
        server = Stalled((), database={"api": {"write": True}})
        with server.running(home, ()):
            return _measured(server, row, seconds)

    return Job(measure)


def _measured(server: Buntime, row: Hostile, seconds: int) -> Mapping[Cell, Measurement]:
    for request in row.prepare:
        server.client.call(request)
    with _bystander(server) as waited:
        idle = resident_mib(server.pid)
        reset_peak(server.pid)
        _attack(server, row, seconds)
        peak = peak_mib(server.pid)
        found = waited()
    waits = {"get": found["get"], "put": found["put"]}
    cells = {_memory(row): Measurement(max(peak - idle, 0.0))}
    if row.most_write_ms is not None:
        cells[_writes(row)] = Measurement(waits.pop("put") * 1000)
    longest = max(waits.values()) * 1000
    return {(row.name, OURS): Measurement(longest, cpu=found["loop"] * 1e6), **cells}


@contextmanager
def _bystander(server: Buntime) -> Iterator[Callable[[], Mapping[str, float]]]:
    """The other client; what is given asks it how long it had to wait, and ends it."""
    origin = server.client.origin
    command = [sys.executable, str(HERE / "bystander.py"), origin, server.base, str(server.pid)]
    with started(command, HERE) as process:
        if read_line(process, START_SECONDS).strip() != "ready":
            raise BenchmarkError("the other client was not answered at all")

        def waited() -> Mapping[str, float]:
            assert process.stdin is not None
            with suppress(BrokenPipeError):
                process.stdin.write("\n")
                process.stdin.flush()
            line = read_line(process, 2 * START_SECONDS)
            if not line:
                raise BenchmarkError("the other client was refused, or waited for too long")
            return dict(json.loads(line))

        yield waited


def _attack(server: Buntime, row: Hostile, seconds: int) -> None:
    """Send what the row says, for so many seconds."""
    address = urlsplit(server.client.origin)
    assert address.hostname is not None
    assert address.port is not None
    deadline = time.monotonic() + seconds
    with ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        waiting = row.connections
        target = (address.hostname, address.port)
        while (left := deadline - time.monotonic()) > 0:
            for _ in range(min(waiting, OPENED_AT_ONCE)):
                waiting -= 1
                _Attacker(target, row, selector, stack)
            if not selector.get_map():
                time.sleep(min(left, SAMPLE_SECONDS))
                continue
            for key, events in selector.select(0 if waiting else min(left, SAMPLE_SECONDS)):
                if not key.data.go_on(events) and row.again:
                    waiting += 1
            if row.stays is not None:
                for key in list(selector.get_map().values()):
                    if key.data.leave(row.stays) and row.again:
                        waiting += 1


class _Attacker:
    """One connection of a row."""

    def __init__(
        self,
        target: tuple[str, int],
        row: Hostile,
        selector: selectors.BaseSelector,
        stack: ExitStack,
    ) -> None:
        self._selector = selector
        self._reads = row.reads
        self._began = time.monotonic()
        self._pieces = iter(row.send(f"{target[0]}:{target[1]}"))
        self._left = memoryview(b"")
        self._events = selectors.EVENT_WRITE | (selectors.EVENT_READ if row.reads else 0)
        self._socket = stack.enter_context(socket.socket())
        self._socket.setblocking(False)
        with suppress(BlockingIOError):
            self._socket.connect(target)
        selector.register(self._socket, self._events, self)

    def go_on(self, events: int) -> bool:
        """Send and read what can be; whether the connection is still there."""
        try:
            if events & selectors.EVENT_WRITE:
                self._send()
            if events & selectors.EVENT_READ and not self._socket.recv(READ_BYTES):
                raise ConnectionResetError
        except BlockingIOError:
            return True
        except OSError:
            self._wait_for(0)
            self._socket.close()
            return False
        return True

    def leave(self, seconds: float) -> bool:
        """Close the connection if it has been there for so long; whether it has."""
        if time.monotonic() - self._began < seconds:
            return False
        self._wait_for(0)
        self._socket.close()
        return True

    def _send(self) -> None:
        if not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                self._wait_for(selectors.EVENT_READ if self._reads else 0)
                return
            self._left = memoryview(piece)
        self._left = self._left[self._socket.send(self._left) :]

    def _wait_for(self, events: int) -> None:
        if events:
            self._selector.modify(self._socket, events, self)
        else:
            self._selector.unregister(self._socket)


def _memory(row: Hostile) -> Cell:
    return f"{row.name}-memory", OURS


def _writes(row: Hostile) -> Cell:
    return f"{row.name}-writes", OURS


def _lines(row: Hostile) -> Iterator[Row]:
    yield Row((row.name, OURS), row.title, "ms", most=row.most_ms)
    if row.most_write_ms is not None:
        yield Row(_writes(row), "longest wait of its writes", "ms", most=row.most_write_ms)
    yield Row(_memory(row), "most memory above idle", "MiB", most=MOST_MIB)


SECTION = Section(
    "stall",
    "Strangers, and another client's longest wait",
    [line for row in (QUIET, *ROWS) for line in _lines(row)],
)
GROUP = Group({"stall": tuple(row.name for row in (QUIET, *ROWS))}, opened, needs_wrk=False)
