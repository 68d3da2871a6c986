"""`gateway`: a small GET of a store behind plugin-gateway, beside the same without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from cases import CASES
from contenders import Buntime, HttpContender
from group import Group, Job, Plan, Selection, Settings, job
from results import Comparison, Measurement, Row, Section

CASE = next(case for case in CASES if case.id == "get")
WITH, LOGGED, WITHOUT = "with gateway", "with log", "without"
LIMIT = {"requests": 1_000_000_000, "window": "1m"}
CORS = {"origin": "https://app.example"}
AIM = 0.88
"""The least part of the rate without it."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:  # noqa: ARG001 - it has one case
    """See `Group`."""
    contenders = [
        Buntime((CASE,), name=WITHOUT),
        Buntime((CASE,), name=WITH, others=[_gateway(logs=False)]),
        Buntime((CASE,), name=LOGGED, others=[_gateway(logs=True)]),
    ]
    with ExitStack() as stack:
        for contender in contenders:
            home = folder / contender.name.replace(" ", "-")
            home.mkdir()
            stack.enter_context(contender.running(home, [CASE.id]))
        yield Plan([_job(contender, settings) for contender in contenders], [SECTION])


def _gateway(*, logs: bool) -> list[object]:
    options = {"rateLimit": LIMIT, "cors": CORS, "logAll": logs}
    return ["@buntime/plugin-gateway", options]


def _job(contender: HttpContender, settings: Settings) -> Job:
    def measure(contender: HttpContender) -> Measurement:
        return contender.measure(
            CASE.id, seconds=settings.seconds, connections=settings.connections
        )

    return job((CASE.id, contender.name), partial(measure, contender))


_BY = (CASE.id, WITHOUT)
_CPU = Comparison("CPU ÷ without", _BY, of_cpu=True)
SECTION = Section(
    "gateway",
    "Behind the gateway",
    [
        Row(
            (CASE.id, WITH),
            "get one entry, with limits and CORS",
            comparisons=[_CPU, Comparison("÷ without", _BY, AIM)],
        ),
        Row(
            (CASE.id, LOGGED),
            "the same, with a log of all requests",
            comparisons=[_CPU, Comparison("÷ without", _BY)],
        ),
        Row(_BY, "get one entry"),
    ],
)
GROUP = Group({"gateway": ("get",)}, opened)
