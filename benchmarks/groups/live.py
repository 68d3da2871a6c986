"""`live`: the queue and watches over HTTP; every message and every event is checked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cases import BARE
from contenders import Bare
from group import Group, Job, Plan, Selection, Settings, job
from live_queue import enqueue, listen, listen_16
from live_server import LiveServer, Numbers
from live_watches import fan_out, idle, latency
from results import Cell, Comparison, Measurement, Row, Section

OURS, BARE_ASGI = "Buntime", Bare.name
Cases = Mapping[str, Callable[[LiveServer, int], Numbers]]
CASES: Cases = {
    "idle": idle,  # first, before there is freed memory that watchers could use
    "enqueue": enqueue,
    "listen": listen,
    "listen-16": listen_16,
    "latency": latency,
    "fan-out": fan_out,
}
CONNECTIONS = 32
"""Of the bare application, whatever the other cases use."""


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:
    """See `Group`."""
    server = LiveServer()
    with beside_bare(server, folder, settings) as bare:
        jobs = [job_of(server, CASES, it, settings) for it in CASES if it in chosen["live"]]
        yield Plan([bare, *jobs], [SECTION])


@contextmanager
def beside_bare(server: LiveServer, folder: Path, settings: Settings) -> Iterator[Job]:
    """The server, and the bare application beside it, which the job measures."""
    bare = Bare()
    with ExitStack() as stack:
        for contender, own in ((bare, [BARE.id]), (server, [])):
            home = folder / contender.name.replace(" ", "-")
            home.mkdir()
            stack.enter_context(contender.running(home, own))

        def bare_rate() -> Measurement:
            return bare.measure(BARE.id, seconds=settings.seconds, connections=CONNECTIONS)

        yield job((BARE.id, BARE_ASGI), bare_rate)


def job_of(server: LiveServer, cases: Cases, case: str, settings: Settings) -> Job:
    """The job of a case, which measures the server."""
    # One round of waiting is as good as three: the time is long, the work is the same.
    is_idle = case == "idle"
    seconds = settings.idle_seconds if is_idle else settings.seconds

    def measure() -> Mapping[Cell, Measurement]:
        found = cases[case](server, seconds)
        return {(name, OURS): measured for name, measured in found.items()}

    return Job(measure, once=is_idle)


def rate_row(name: str, title: str, least: int) -> Row:
    """The aim is a rate on a machine whose bare application does 65,000."""
    bare = Comparison(f"÷ {BARE_ASGI}", (BARE.id, BARE_ASGI), least / 65_000)
    cpu = Comparison(f"CPU ÷ {BARE_ASGI}", bare.by, of_cpu=True)
    return Row((name, OURS), title, comparisons=[cpu, bare])


BARE_ROW = Row((BARE.id, BARE_ASGI), f"bare ASGI application, {CONNECTIONS} connections")
SECTION = Section(
    "live",
    "Queue and watches",
    [
        BARE_ROW,
        rate_row("enqueue", "enqueue, 16 connections", 8_000),
        rate_row("listen", "listen, an ack for each message", 3_000),
        rate_row("listen-16", "the same with `?prefetch=16`", 3_000),
        Row(("watch-p50", OURS), "answer of a put to event, p50", "ms", most=2),
        Row(("watch-p99", OURS), "answer of a put to event, p99", "ms", most=8),
        Row(("put-watch", OURS), "request of a put to event", "ms"),
        Row(("fan-out", OURS), "put to the last of 1,000 watchers", "ms", most=100),
        Row(("idle", OURS), "a core's share, 1,000 watchers and no change", "%", most=1),
        Row(("no-idle", OURS), "a core's share, no watchers", "%"),
        Row(("memory", OURS), "memory of a watcher", "KiB"),
    ],
)
GROUP = Group({"live": tuple(CASES)}, opened)
