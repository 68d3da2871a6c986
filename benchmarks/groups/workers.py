"""`workers`: one process beside two and four on one store, and what more cores would give."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from cases import CASES
from contenders import Buntime
from group import Group, Job, Plan, Selection, Settings
from processes import cpu_of_children
from results import Cell, Comparison, Measurement, Row, Section

COUNTS = (1, 2, 4)
KNOWN = {case.id: case for case in CASES if case.id in ("get", "put", "sum", "mix")}
AIMS = {"put": 0.9, "sum": 0.9}
"""The least part of what one process answers, by two that share its cores with the load."""
MOST = "-most"
"""Behind the name of a case: what is as fast as its busiest process."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    cases = [case for case in KNOWN if case in chosen["workers"]]
    with ExitStack() as stack:
        jobs = []
        for count in COUNTS:
            server = Buntime(
                [KNOWN[case] for case in cases],
                name=_name(count),
                arguments=("--workers", str(count)) if count > 1 else (),
            )
            home = folder / str(count)
            home.mkdir()
            stack.enter_context(server.running(home, cases))
            jobs += [Job(partial(_measured, server, count, case, settings)) for case in cases]
        yield Plan(jobs, [SECTION])


def _measured(
    server: Buntime, count: int, case: str, settings: Settings
) -> Mapping[Cell, Measurement]:
    before = cpu_of_children(server.pid)
    found = server.measure(case, seconds=settings.seconds, connections=settings.connections)
    cells = {(case, server.name): found}
    if count > 1 and found.cpu:
        spent = {pid: cpu - before[pid] for pid, cpu in cpu_of_children(server.pid).items()}
        # The load of all is spread as it was, so the busiest one is full first.
        share = max(spent.values()) / sum(spent.values())
        cells[case + MOST, server.name] = Measurement(1e6 / (found.cpu * share))
    return cells


def _name(count: int) -> str:
    return f"{count} worker{'s' if count > 1 else ''}"


def _rows(case: str, count: int) -> Iterator[Row]:
    title = KNOWN[case].title
    one = (case, _name(1))
    cell = (case, _name(count))
    if count == 1:
        yield Row(cell, title)
        return
    least = AIMS.get(case) if count == 2 else None
    compared = [Comparison("÷ 1 worker", one, least), Comparison("CPU ÷ 1", one, of_cpu=True)]
    yield Row(cell, title, comparisons=compared)
    yield Row((case + MOST, _name(count)), f"{title}, with a core for each at most")


SECTION = Section(
    "workers",
    "Several workers",
    [row for case in KNOWN for count in COUNTS for row in _rows(case, count)],
)
GROUP = Group({"workers": tuple(KNOWN)}, opened)
