"""Measure it: `python benchmarks/run.py`. See README.md beside this file."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import click
import table
from cases import BARE, CASES
from client import BenchmarkError
from contenders import Bare, Buntime, Contender, InProcess
from load import Measurement, find_wrk
from rich.console import Console

HTTP = {case.id: case for case in (BARE, *CASES)}
TITLES = {**{name: case.title for name, case in HTTP.items()}, **InProcess.titles}
GROUPS = {
    "http": [case.id for case in CASES],
    "embedded": list(InProcess.titles),
    "all": [*(case.id for case in CASES), *InProcess.titles],
}

Results = dict[str, list[Measurement]]


@click.command()
@click.option(
    "--cases",
    default="all",
    show_default=True,
    metavar="NAMES",
    help=f"Comma-separated: {', '.join((*GROUPS, *TITLES))}.",
)
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1, 60))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 1000))
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every round.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write a table.")
def main(
    cases: str,
    seconds: int,
    rounds: int,
    connections: int,
    json_file: Path | None,
    markdown_file: Path | None,
) -> None:
    """Measure all contenders in turn, several rounds, and print the medians."""
    # Ended from outside, it ends its servers as after Ctrl-C, also where a shell has both ignored.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    console = Console(stderr=True)
    try:
        find_wrk()
        results = run(_names(cases), seconds, rounds, connections, console)
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    facts = table.machine(f"{connections} connections, median of {rounds} x {seconds} s")
    lines = _lines(results)
    Console(width=None if sys.stdout.isatty() else 140).print(table.as_rich(lines, facts))
    if markdown_file is not None:
        markdown_file.write_text(table.as_markdown(lines, facts), encoding="utf-8")
    if json_file is not None:
        measured = {name: [m._asdict() for m in found] for name, found in results.items()}
        ratios = {line.case: line.ratio for line in lines}
        content = {"machine": facts, "rounds": measured, "ratios": ratios}
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def run(
    names: Sequence[str], seconds: int, rounds: int, connections: int, console: Console
) -> Results:
    """Measure the cases, and the bare application with them. Raises `BenchmarkError`."""
    plan: list[tuple[Contender, list[str]]] = [
        (Bare([BARE]), [BARE.id]),
        (Buntime(CASES), [name for name in names if name in HTTP and name != BARE.id]),
        (InProcess(), [name for name in names if name in InProcess.titles]),
    ]
    plan = [(contender, own) for contender, own in plan if own]
    results: Results = {name: [] for _, own in plan for name in own}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="benchmark-")))
        for contender, own in plan:
            console.print(f"{contender.name}: starts, loads, is checked")
            home = folder / contender.name
            home.mkdir()
            stack.enter_context(contender.running(home, own))
        for number in range(1, rounds + 1):
            for contender, own in plan:
                for name in own:
                    measured = contender.measure(name, seconds=seconds, connections=connections)
                    results[name].append(measured)
                    console.print(f"round {number}: {name} {measured.rate:,.0f}/s")
    return results


def _lines(results: Results) -> list[table.Line]:
    lines = []
    for name, rounds in results.items():
        case = HTTP.get(name)
        ratio = table.ratio(rounds, results[BARE.id]) if case is not None else None
        aim = case.aim if case is not None else None
        middle, spread = table.medians(rounds), table.spread(rounds)
        lines.append(table.Line(name, TITLES[name], middle, spread, ratio, aim))
    return lines


def _names(text: str) -> list[str]:
    names: list[str] = []
    for name in text.split(","):
        if name in GROUPS:
            names += GROUPS[name]
        elif name in TITLES:
            names.append(name)
        else:
            raise click.BadParameter(f"unknown case {name!r}", param_hint="--cases")
    return list(dict.fromkeys(names))


if __name__ == "__main__":
    main()
