"""`start`: from starting a process to its first answer, and the memory that it has then."""

from __future__ import annotations

import http.client
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from client import BenchmarkError
from contenders import HERE, START_SECONDS, Bare, Buntime
from group import Group, Job, Plan, Selection, Settings
from processes import environment, free_port, resident_mib, started
from results import Cell, Comparison, Measurement, Row, Section

_PROGRAM = """
import sys
from buntime_keyval import open_kv_sync
with open_kv_sync(sys.argv[1]) as kv:
    kv.set(["a"], 1)
    assert kv.get(["a"]).value == 1
"""

RUNS = 5
"""Starts in one round."""
POLL_SECONDS = 0.001
OURS = "Buntime"
STARTED = {
    "python": "python -c pass",
    "file": "open_kv_sync",
    "bare": Bare.name,
    "new": OURS,
    "again": OURS,
}
REMEMBERED = ("bare", "new")
"""Whose memory is a row of its own."""
TITLES = {
    "python": "an interpreter that starts and ends",
    "file": "an interpreter that makes a store in a new file, sets, gets, and ends",
    "bare": "a bare ASGI application until it answers",
    "new": "`buntime serve` without a store until `/health` answers",
    "again": "`buntime serve` on the store that it made before",
}


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:  # noqa: ARG001 - as all groups
    """See `Group`."""
    for name in ("new", "file"):
        _once(name, folder / "warm-up")  # Python compiles what it never ran
    jobs = [_job(name, folder) for name in TITLES if name in chosen["start"]]
    yield Plan(jobs, [SECTION])


def _job(name: str, folder: Path) -> Job:
    rounds = iter(range(1_000))

    def measure() -> Mapping[Cell, Measurement]:
        number = next(rounds)
        homes = [folder / f"{name}-{number}-{run}" for run in range(RUNS)]
        if name == "again":
            homes = [homes[0]] * RUNS
            _once(name, homes[0])
        taken, resident = zip(*(_once(name, home) for home in homes), strict=True)
        found = {(name, STARTED[name]): Measurement(median(taken))}
        if name in REMEMBERED:
            found[_resident(name)] = Measurement(median(resident))
        return found

    return Job(measure)


def _once(name: str, home: Path) -> tuple[float, float]:
    """Milliseconds until it answers, and resident MiB."""
    home.mkdir(exist_ok=True)
    if name in ("python", "file"):
        program = "pass" if name == "python" else _PROGRAM
        begin = time.perf_counter()
        command = [sys.executable, "-c", program, str(home / "new.db")]
        subprocess.run(command, check=True, env=environment())
        return (time.perf_counter() - begin) * 1000, 0
    port = free_port()
    begin = time.perf_counter()
    with started(_command(name, home, port), home) as process:
        _await_answer(port, process)
        taken = time.perf_counter() - begin
        return taken * 1000, resident_mib(process.pid)


def _command(name: str, home: Path, port: int) -> Sequence[str]:
    if name == "bare":
        return [sys.executable, str(HERE / "bare_app.py"), str(port)]
    return Buntime((), port=port).command(home)


def _await_answer(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            response.read()
        except OSError:
            time.sleep(POLL_SECONDS)
            continue
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise BenchmarkError(f"status {response.status} of /health")
        return
    raise BenchmarkError(f"{process.args!r} did not start")


def _resident(name: str) -> Cell:
    return f"{name}-memory", STARTED[name]


def _row(name: str) -> Row:
    others = [other for other in ("python", "bare") if other != name and name != "file"]
    comparisons = [Comparison(f"÷ {STARTED[o]}", (o, STARTED[o])) for o in others]
    return Row((name, STARTED[name]), TITLES[name], "ms", comparisons)


SECTION = Section(
    "start",
    "Start-up",
    [
        *(_row(name) for name in STARTED),
        *(Row(_resident(name), "resident memory after that", "MiB") for name in REMEMBERED),
    ],
)
GROUP = Group({"start": tuple(STARTED)}, opened, needs_wrk=False)
