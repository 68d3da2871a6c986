"""Measure queue and watches: `python benchmarks/live.py`. See README.md beside this file."""

from __future__ import annotations

import signal
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import table
from cases import BARE, Aim, at_rate
from client import BenchmarkError
from contenders import Bare
from live_queue import enqueue, listen, listen_16
from live_server import LiveServer, Numbers
from live_watches import fan_out, idle, latency
from load import find_wrk
from rich.console import Console

HEADINGS = ("line", "what", "result", "unit", "spread", "ratio", "aim", "met")
RATE = "/s"
WIDTH = 150
CASES: Mapping[str, Callable[[LiveServer, int], Numbers]] = {
    "idle": idle,  # first, before there is freed memory that watchers could use
    "enqueue": enqueue,
    "listen": listen,
    "listen-16": listen_16,
    "latency": latency,
    "fan-out": fan_out,
}


class Line(NamedTuple):
    """What one number is called and how large it should be."""

    title: str
    unit: str
    least: Aim | None = None
    """The least share of the bare application's rate; see README.md."""
    most: float | None = None

    def cells(self, name: str, results: Mapping[str, Sequence[float]]) -> tuple[str, ...]:
        """The line as texts."""
        found = results[name]
        middle = median(found)
        result = f"{middle:,.0f}" if middle >= 100 else f"{middle:.2f}"
        spread = f"{(max(found) - min(found)) / middle:.0%}" if middle and len(found) > 1 else ""
        ratio, aim, met = "", "", ""
        if self.unit == RATE:
            share = median(ours / bare for ours, bare in zip(found, results[BARE.id], strict=True))
            ratio = f"{share:.4f}"
            if self.least is not None:
                aim, met = self.least.text, "yes" if share >= self.least.ratio else "no"
        if self.most is not None:
            aim, met = f"≤ {self.most:g}", "yes" if middle <= self.most else "no"
        return (name, self.title, result, self.unit, spread, ratio, aim, met)


LINES = {
    "bare": Line("bare ASGI application, 32 connections", RATE),
    "enqueue": Line("enqueue, 16 connections", RATE, least=at_rate(8_000)),
    "listen": Line("listen, an ack for each message", RATE, least=at_rate(3_000)),
    "listen-16": Line("the same with `?prefetch=16`", RATE, least=at_rate(3_000)),
    "watch-p50": Line("answer of a put to event, p50", "ms", most=2),
    "watch-p99": Line("answer of a put to event, p99", "ms", most=8),
    "put-watch-p50": Line("request of a put to event, p50", "ms"),
    "put-watch-p99": Line("request of a put to event, p99", "ms"),
    "fan-out": Line("put to the last of 1,000 watchers, p50", "ms", most=100),
    "fan-out-most": Line("put to the last of 1,000 watchers, slowest", "ms"),
    "idle": Line("share of a core, 1,000 watchers and no change", "%", most=1),
    "no-idle": Line("share of a core, no watchers", "%"),
    "memory": Line("memory of a watcher", "KiB"),
}


@click.command()
@click.option("--cases", default=",".join(CASES), show_default=True, metavar="NAMES")
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1, 60))
@click.option("--idle-seconds", default=32, show_default=True, type=click.IntRange(1, 300))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write a table.")
def main(
    cases: str, seconds: int, idle_seconds: int, rounds: int, markdown_file: Path | None
) -> None:
    """Measure queue and watches over HTTP, several rounds, and print the medians."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = list(dict.fromkeys(cases.split(",")))
    if unknown := set(names) - set(CASES):
        raise click.BadParameter(f"unknown: {', '.join(sorted(unknown))}", param_hint="--cases")
    console = Console(stderr=True)
    try:
        find_wrk()
        results = run(names, seconds, idle_seconds, rounds, console)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    facts = table.machine(f"median of {rounds} rounds")
    rows = [line.cells(name, results) for name, line in LINES.items() if name in results]
    failed = [row[-1] == "no" for row in rows]
    rich = table.rich_table(HEADINGS, rows, failed, facts)
    Console(width=None if sys.stdout.isatty() else WIDTH).print(rich)
    if markdown_file is not None:
        markdown_file.write_text(table.markdown_table(HEADINGS, rows, facts), encoding="utf-8")


def run(
    names: Sequence[str], seconds: int, idle_seconds: int, rounds: int, console: Console
) -> dict[str, list[float]]:
    """The numbers of each line, round by round. Raises `BenchmarkError`."""
    results: dict[str, list[float]] = {}
    bare, server = Bare([BARE]), LiveServer()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        for contender, cases in ((bare, [BARE.id]), (server, [])):
            home = folder / contender.name
            home.mkdir()
            stack.enter_context(contender.running(home, cases))
        for number in range(1, rounds + 1):
            rate = bare.measure(BARE.id, seconds=seconds, connections=32).rate
            results.setdefault("bare", []).append(rate)
            console.print(f"round {number}: bare {rate:,.0f} /s")
            for name in names:
                # One round of waiting is as good as three: the time is long, the work is the same.
                if name == "idle" and number > 1:
                    continue
                found = CASES[name](server, idle_seconds if name == "idle" else seconds)
                for line, value in found.items():
                    results.setdefault(line, []).append(value)
                    console.print(f"round {number}: {line} {value:,.2f} {LINES[line].unit}")
    return results


if __name__ == "__main__":
    main()
