"""`instructions`: how many the server takes for one request, also on a machine that is busy."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from random import Random

import dataset
from bulk import make_database
from cases import BATCH, PAGE, batch_requests, get_requests, list_requests, put_requests
from client import Client, Request
from contenders import SQLITE, Buntime
from group import Group, Job, Plan, Selection, Settings, job
from instructions import Connections, Counter, find_counter
from postgres_server import postgres_running
from results import Measurement, Row, Section
from streams import request_bytes

OURS = Buntime.__name__
TOGETHER = 16
POSTGRES = "postgres"
FILTERED = dataset.GROUPS
TITLES = {
    "get": "get one entry",
    "batch": f"get {BATCH} entries by key",
    "list": f"list {PAGE} entries",
    "where": f"filter {FILTERED} entries, one hit",
    "put": "put one entry, in a commit of its own",
    f"put-{TOGETHER}": f"put one entry, {TOGETHER} connections at once",
    f"put-{TOGETHER}-key": "the same, each with an idempotency key",
    f"sum-{TOGETHER}": f"add to a counter, {TOGETHER} connections at once",
    f"delete-{TOGETHER}": f"delete one entry, {TOGETHER} connections at once",
    f"enqueue-{TOGETHER}": f"send a message, {TOGETHER} connections at once",
    f"ack-{TOGETHER}": f"ack a message that is settled already, {TOGETHER} connections at once",
    f"lock-{TOGETHER}": f"acquire or release a lock, {TOGETHER} connections at once",
    f"put-{TOGETHER}-{POSTGRES}": (
        f"put one entry on PostgreSQL, {TOGETHER} connections at once; without the server of that"
    ),
}
MOST = {
    "get": 115_000,
    "batch": 325_000,
    "list": 630_000,
    "where": 1_400_000,
    "put": 620_000,
    f"put-{TOGETHER}": 270_000,
    f"put-{TOGETHER}-key": 325_000,
    f"sum-{TOGETHER}": 335_000,
    f"delete-{TOGETHER}": 270_000,
    f"enqueue-{TOGETHER}": 215_000,
    f"ack-{TOGETHER}": 205_000,
    f"lock-{TOGETHER}": 435_000,
    f"put-{TOGETHER}-{POSTGRES}": 215_000,
}
"""Aims: a tenth to a fifth more than what was counted last, on CPython 3.11. In a slow run the
server does more by the clock between two requests, and fewer of them share a commit."""
DIFFERENT = 200
"""Requests; each has been sent before it counts, so that nothing happens for the first time. Where
they have idempotency keys, these are new each time."""


class CountedServer(Buntime):
    """The product, in a process whose instructions can be counted.

    It has 10,000 entries in a file, or at first none on a server of PostgreSQL.
    """

    def __init__(self, counter: Counter, url: str | None = None) -> None:
        """`url` is that of the server."""
        super().__init__((), adapter=SQLITE if url is None else {"type": POSTGRES, "url": url})
        self._counter = counter
        self._is_in_file = url is None

    def command(self, folder: Path) -> list[str]:
        """See `HttpContender`."""
        if self._is_in_file:
            make_database(folder / "data" / "_default.db", islice(dataset.entries(), dataset.SMALL))
        return [*self._counter.prefix(folder), *super().command(folder)]

    def load(self, client: Client) -> None:
        """It is there: see `command`."""

    def connected(self, count: int) -> AbstractContextManager[Connections]:
        """So many connections."""
        return closing(Connections(self.client.origin, count))

    def requests(self, requests: Sequence[Request]) -> Sequence[bytes]:
        """The same as bytes."""
        return [request_bytes(self.client.origin, self.base, request) for request in requests]


_SUMS = [
    Request(
        "POST",
        "/atomic",
        f'{{"mutations":[{{"type":"sum","key":["counters",{number}],"value":1}}]}}',
    )
    for number in range(DIFFERENT)
]
_MESSAGES = [Request("POST", "/queue/enqueue", '{"value":{"a":1}}')] * DIFFERENT
_ACKS = [Request("POST", "/queue/ack", f'{{"id":"gone-{number}"}}') for number in range(DIFFERENT)]
_LOCKS = [
    Request("POST", f"/locks/lock-{number}/{verb}", f'{{"owner":"holder-{number}"}}')
    for verb in ("acquire", "release")
    for number in range(TOGETHER)
]
"""Each lock is released by the requests that are sent behind those that acquire it."""


def _filters() -> list[Request]:
    """Of as many neighbours as there are groups."""
    return [
        Request(
            "POST",
            "/keys/list",
            json.dumps(
                {
                    "prefix": dataset.SMALL_PREFIX,
                    "start": [*dataset.SMALL_PREFIX, first],
                    "end": [*dataset.SMALL_PREFIX, first + FILTERED],
                    "where": {"group": first % dataset.GROUPS},
                }
            ),
        )
        for first in range(DIFFERENT)
    ]


def _deletes() -> list[Request]:
    """Of entries that are not there any more, once they have been sent before."""
    return [Request("DELETE", f"/keys/gone/{number}?exact=true") for number in range(DIFFERENT)]


def _with_keys(requests: Iterable[bytes]) -> Iterator[bytes]:
    """The same, with keys as our clients make them: they grow."""
    for number, request in enumerate(requests):
        line, _, rest = request.partition(b"\r\n")
        key = b"%08x-%04x-7000-8000-%012x" % (number >> 4, number % 16, number * 0x9E3779B1)
        yield b"%b\r\nidempotency-key: %b\r\n%b" % (line, key, rest)


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    counter = find_counter()
    if counter is None:
        settings.say("instructions are skipped: apt-get install valgrind")
        yield Plan([], [])
        return
    cases = [case for case in TITLES if case in chosen["instructions"]]
    with ExitStack() as stack:
        jobs = []
        in_file = [case for case in cases if not case.endswith(POSTGRES)]
        if in_file:
            server = CountedServer(counter)
            stack.enter_context(server.running(folder, ()))
            jobs += _jobs(counter, server, in_file)
        if len(in_file) < len(cases):
            url = stack.enter_context(postgres_running())
            if url is None:
                settings.say("instructions on PostgreSQL are skipped: apt-get install postgresql")
            else:
                server = CountedServer(counter, url)
                (folder / POSTGRES).mkdir()
                stack.enter_context(server.running(folder / POSTGRES, ()))
                jobs += _jobs(counter, server, [case for case in cases if case not in in_file])
        yield Plan(jobs, [_section(counter)])


def _jobs(counter: Counter, server: CountedServer, cases: Sequence[str]) -> list[Job]:
    """Those of a server that runs, to which all requests of the cases have been sent once."""
    gets = server.requests(get_requests(Random("get"), DIFFERENT))
    lists = server.requests(list_requests(Random("list"), DIFFERENT))
    batches = server.requests(batch_requests(Random("batch"), DIFFERENT))
    filters = server.requests(_filters())
    puts = server.requests(put_requests(Random("put"), DIFFERENT))
    sums = server.requests(_SUMS)
    deletes = server.requests(_deletes())
    sent = {
        "get": (cycle(gets), 1),
        "batch": (cycle(batches), 1),
        "list": (cycle(lists), 1),
        "where": (cycle(filters), 1),
        "put": (cycle(puts), 1),
        f"put-{TOGETHER}": (cycle(puts), TOGETHER),
        f"put-{TOGETHER}-key": (_with_keys(cycle(puts)), TOGETHER),
        f"sum-{TOGETHER}": (cycle(sums), TOGETHER),
        f"delete-{TOGETHER}": (cycle(deletes), TOGETHER),
        f"enqueue-{TOGETHER}": (cycle(server.requests(_MESSAGES)), TOGETHER),
        f"ack-{TOGETHER}": (cycle(server.requests(_ACKS)), TOGETHER),
        f"lock-{TOGETHER}": (cycle(server.requests(_LOCKS)), TOGETHER),
        f"put-{TOGETHER}-{POSTGRES}": (cycle(puts), TOGETHER),
    }
    for case in cases:
        requests, at_once = sent[case]
        with server.connected(at_once) as connections:
            connections.send([*islice(requests, DIFFERENT)])
    counter.warmed(server.pid)
    return [job((case, OURS), partial(_counted, counter, server, *sent[case])) for case in cases]


def _counted(
    counter: Counter, server: CountedServer, requests: Iterator[bytes], at_once: int
) -> Measurement:
    first = [*islice(requests, at_once)]
    counted = [*islice(requests, counter.requests)]
    with server.connected(at_once) as connections:
        connections.send(first)  # the server has accepted them then
        count = counter.counted(server.pid, partial(connections.send, counted))
    return Measurement(count / len(counted))


def _section(counter: Counter) -> Section:
    rows = [
        Row((case, OURS), title, "instructions", most=MOST[case]) for case, title in TITLES.items()
    ]
    return Section("instructions", f"Instructions of a request, by {counter.name}", rows)


GROUP = Group({"instructions": tuple(TITLES)}, opened, needs_wrk=False)
