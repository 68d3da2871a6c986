"""`keyed`: writes with an idempotency key beside the same without one, in turn on one store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from random import Random

from cases import put_requests
from client import BenchmarkError, Client, Request
from contenders import Buntime
from group import Group, Plan, Selection, Settings, job
from load import Expected, Keys
from results import Cell, Comparison, Measurement, Row, Section

OURS = Buntime.__name__
KEYS: dict[str, Keys | None] = {"put": None, "put-growing": "growing", "put-random": "random"}
TITLES = {
    "put": "put one entry",
    "put-growing": "the same with a key that grows, as those of our clients do",
    "put-random": "the same with a random key",
}
CONNECTIONS = (1, 32)
AIM = 1.15
"""The most processor time of a write with a key, as a multiple of one without."""
REQUESTS = 1_000
_EXPECTED = Expected('"ok":true')


class EmptyStore(Buntime):
    """The product on a store that has nothing, with default options: each write is on disk."""

    def __init__(self) -> None:
        super().__init__(())

    def load(self, client: Client) -> None:
        """See `HttpContender`."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    server = EmptyStore()
    requests = put_requests(Random("put"), REQUESTS)
    with server.running(folder, ()):
        _check_keys(server)

        def measure(case: str, connections: int) -> Measurement:
            _, measured = server.send(
                requests,
                _EXPECTED,
                seconds=settings.seconds,
                connections=connections,
                keys=KEYS[case],
            )
            return measured

        jobs = [
            job(_cell(case, connections), partial(measure, case, connections))
            for connections in CONNECTIONS
            for case in KEYS
            if case in chosen["keyed"]
        ]
        yield Plan(jobs, [SECTION])


def _check_keys(server: EmptyStore) -> None:
    """Raise `BenchmarkError` unless what is repeated under a key is done once."""
    request = Request("PUT", "/keys/checked", "1")
    stamps = [
        server.client.call(request, {"Idempotency-Key": key})["versionstamp"]
        for key in ("first", "first", "second")
    ]
    if not stamps[0] == stamps[1] < stamps[2]:
        raise BenchmarkError(f"{server.name}: under two keys, one of them twice: {stamps}")


def _cell(case: str, connections: int) -> Cell:
    return f"{case}-{connections}", OURS


def _row(case: str, connections: int) -> Row:
    together = "1 connection" if connections == 1 else f"{connections} connections"
    without = _cell("put", connections)
    compared = (
        Comparison("÷ without", without),
        Comparison("CPU ÷ without", without, most=AIM, of_cpu=True),
    )
    comparisons = compared if KEYS[case] else ()
    return Row(_cell(case, connections), f"{TITLES[case]}, {together}", comparisons=comparisons)


SECTION = Section(
    "keyed",
    "Writes with an idempotency key",
    [_row(case, connections) for connections in CONNECTIONS for case in KEYS],
)
GROUP = Group({"keyed": tuple(KEYS)}, opened)
