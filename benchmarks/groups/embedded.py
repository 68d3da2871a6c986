"""`embedded`: the store as another plugin uses it, and SQLite itself, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from client import BenchmarkError
from contenders import HERE, START_SECONDS
from group import Group, Plan, Selection, Settings, job
from processes import read_line, started
from results import Comparison, Measurement, Row, Section

OURS, RAW = "Kv", "raw apsw"
OPERATIONS = {"get": "get", "set": "set", "list": "list 100", "sum": "atomic sum"}
RAW_CASES = {
    "get-1": "get",
    "get-32": "get",
    "set-1": "put",
    "set-32": "put_100",
    "list-1": "list",
    "list-32": "list",
    "sum-1": "put",
    "sum-32": "put_100",
}
"""What of SQLite a case is compared with; see `embedded.py` beside `run.py`."""
RAW_TITLES = {
    "get": "one row by key",
    "put": "one row in each commit",
    "put_100": "rows, 100 in each commit",
    "list": "100 rows by key",
}
RATIO_AIMS = {"get-1": 0.35, "set-32": 0.4}
RATE_AIMS = {"get-1": 100_000.0}


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    cases = [case for case in RAW_CASES if case in chosen["embedded"]]
    names = {f"kv-{case}" for case in cases} | {f"apsw-{RAW_CASES[case]}" for case in cases}
    with started([sys.executable, str(HERE / "embedded.py"), *sorted(names)], folder) as process:
        if read_line(process, START_SECONDS) != "ready\n":
            raise BenchmarkError("in-process: did not start, or an answer was wrong")
        jobs = [
            job((case, contender), partial(_measured, process, name, settings.seconds))
            for case in cases
            for contender, name in ((OURS, f"kv-{case}"), (RAW, f"apsw-{RAW_CASES[case]}"))
        ]
        yield Plan(jobs, SECTIONS)


def _measured(process: subprocess.Popen[str], name: str, seconds: int) -> Measurement:
    assert process.stdin is not None
    print(name, seconds, file=process.stdin, flush=True)
    line = read_line(process, seconds + START_SECONDS)
    if not line:
        raise BenchmarkError(f"in-process, {name}: failed")
    return Measurement(*json.loads(line))


def _row(case: str) -> Row:
    operation, _, tasks = case.partition("-")
    title = f"{OPERATIONS[operation]}, {tasks} {'task' if tasks == '1' else 'tasks'}"
    comparison = Comparison(f"÷ {RAW}", (case, RAW), RATIO_AIMS.get(case))
    return Row((case, OURS), title, comparisons=[comparison], least=RATE_AIMS.get(case))


SECTIONS = [
    Section("embedded", "In one process, without HTTP", [_row(case) for case in RAW_CASES]),
    Section(
        "raw",
        "What SQLite itself did in the same rounds",
        [Row((case, RAW), RAW_TITLES[name]) for case, name in RAW_CASES.items()],
    ),
]
GROUP = Group({"embedded": tuple(RAW_CASES)}, opened, needs_wrk=False)
