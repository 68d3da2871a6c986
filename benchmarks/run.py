"""Measure it: `python benchmarks/run.py`. See README.md beside this file."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import click
import table
from client import BenchmarkError
from group import Group, Plan, Selection, Settings
from groups import (
    embedded,
    fronting,
    growth,
    instructions,
    jobs,
    keyed,
    libsql,
    live,
    on_postgres,
    on_rqlite,
    pages,
    proxying,
    sdk,
    search,
    stall,
    start,
    stores,
    tasks_on_postgres,
    workers,
)
from load import find_wrk
from results import PER_SECOND, Cell, Measurement, Section, is_met
from rich.console import Console

GROUPS = (
    stores.GROUP,
    keyed.GROUP,
    workers.GROUP,
    embedded.GROUP,
    live.GROUP,
    jobs.GROUP,
    sdk.GROUP,
    search.GROUP,
    growth.GROUP,
    start.GROUP,
    pages.GROUP,
    instructions.GROUP,
    stall.GROUP,
    libsql.GROUP,
    on_postgres.GROUP,
    tasks_on_postgres.GROUP,
    on_rqlite.GROUP,
    proxying.GROUP,
    fronting.GROUP,
)
NAMES = {name: group for group in GROUPS for name in group.cases}
WIDTH = 180
"""Of a table that goes to a file."""
CACHE = Path("~/.cache/buntime-benchmarks").expanduser()

Rounds = dict[Cell, list[Measurement]]


class AimsMissed(click.ClickException):
    """All was measured, and an aim was missed."""

    exit_code = 3


def selected(text: str) -> dict[str, list[str]]:
    """Cases by group name, from `all`, or `name` and `name:case` between commas."""
    if text == "all":
        return {name: list(group.cases[name]) for name, group in NAMES.items()}
    chosen: dict[str, list[str]] = {}
    for word in text.split(","):
        name, _, case = word.partition(":")
        if name not in NAMES:
            raise click.BadParameter(f"unknown group {name!r}: {', '.join(NAMES)}")
        known = NAMES[name].cases[name]
        if case and case not in known:
            raise click.BadParameter(f"unknown case {case!r} of {name}: {', '.join(known)}")
        chosen.setdefault(name, []).extend([case] if case else known)
    return chosen


@click.command()
@click.option(
    "--cases",
    default="all",
    show_default=True,
    metavar="NAMES",
    callback=lambda _, __, text: selected(text),
    help=f"Groups between commas: {', '.join(NAMES)}; `http:get` is one case of a group.",
)
@click.option("--seconds", default=3, show_default=True, type=click.IntRange(1, 60))
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20))
@click.option("--connections", default=32, show_default=True, type=click.IntRange(1, 1000))
@click.option(
    "--idle-seconds",
    default=32,
    show_default=True,
    type=click.IntRange(31, 300),
    help="How long idle watchers are looked at; each gets a ping in 30 seconds.",
)
@click.option(
    "--growth-max",
    default=10_000_000,
    show_default=True,
    type=click.IntRange(1_000),
    help="Entries of the largest database.",
)
@click.option(
    "--npm",
    "programs",
    default=CACHE,
    type=click.Path(path_type=Path),
    help="Folder in which npm installed the other stores.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write every round.")
@click.option("--markdown", "markdown_file", type=click.Path(path_type=Path), help="Write tables.")
@click.option(
    "--into",
    "documents",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Replace the tables of a document, between `<!-- table: NAME -->` and `<!-- end -->`.",
)
@click.option(
    "--strict", is_flag=True, help=f"End with {AimsMissed.exit_code} where an aim is missed."
)
def main(
    cases: dict[str, list[str]],
    json_file: Path | None,
    markdown_file: Path | None,
    documents: Sequence[Path],
    *,
    strict: bool,
    **settings: int | Path,
) -> None:
    """Measure all contenders in turn, several rounds, and print the medians and their ratios."""
    # Ended from outside, it ends its servers as after Ctrl-C, also where a shell has both ignored.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    console = Console(stderr=True, highlight=False)
    output = Console(width=None if sys.stdout.isatty() else WIDTH)
    how = Settings(say=console.print, **settings)  # type: ignore[arg-type] # click converted them
    load = f"{how.connections} connections over HTTP, median of {how.rounds} x {how.seconds} s"
    known = table.facts(load)
    groups = [group for group in GROUPS if cases.keys() & group.cases.keys()]
    measured: list[tuple[Section, Rounds]] = []
    failures = []
    try:
        if any(group.needs_wrk for group in groups):
            find_wrk()
    except BenchmarkError as error:
        raise click.ClickException(str(error)) from error
    for group in groups:
        try:
            sections, rounds = run(group, cases, how)
        except Exception as error:  # noqa: BLE001 - said here, and by the exit code
            # What was measured before is right, and so may be what comes.
            what = str(error) if isinstance(error, BenchmarkError) else repr(error)
            failures.append(f"{', '.join(group.cases)}: {what}")
            console.print(failures[-1], style="red", markup=False)
            continue
        for section in sections:
            if table.lines(section, rounds):
                output.print(table.as_rich(section, rounds))
                measured.append((section, rounds))
    output.print(", ".join(f"{name}: {value}" for name, value in known.items()))
    texts = [(section, table.as_markdown(section, rounds, known)) for section, rounds in measured]
    if markdown_file is not None:
        parts = [f"## {section.title}\n\n{text}" for section, text in texts]
        markdown_file.write_text("\n".join(parts), encoding="utf-8")
    named = {section.name: text for section, text in texts}
    for document in documents:
        old = document.read_text(encoding="utf-8")
        document.write_text(table.replace_tables(old, named), encoding="utf-8")
    if json_file is not None:
        content = {"machine": known, "results": [_plain(*one) for one in measured]}
        json_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    if failures:
        raise click.ClickException("; ".join(failures))
    missed = _missed(measured) if strict else ()
    if missed:
        raise AimsMissed(f"aims are missed: {', '.join(missed)}")


def run(group: Group, cases: Selection, settings: Settings) -> tuple[Sequence[Section], Rounds]:
    """Measure one group. Raises `BenchmarkError`."""
    own = {name: cases[name] for name in group.cases if name in cases}
    say = settings.say
    began = time.monotonic()
    say(f"{', '.join(own)}: starts, loads and checks")
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        group.opened(own, Path(folder), settings) as plan,
    ):
        rounds = _measured(plan, settings)
    say(f"{', '.join(own)}: {time.monotonic() - began:.0f} s")
    return plan.sections, rounds


def _measured(plan: Plan, settings: Settings) -> Rounds:
    rounds: Rounds = {}
    units = {row.cell: row.unit for section in plan.sections for row in section.rows}
    for number in range(1, settings.rounds + 1):
        for job in plan.jobs:
            if job.once and number > 1:
                continue
            for cell, measured in job.measure().items():
                rounds.setdefault(cell, []).append(measured)
                result = f"{table.number(measured.value)} {units.get(cell, PER_SECOND)}"
                settings.say(f"round {number}: {', '.join(cell)}: {result}")
    return rounds


def _missed(measured: Sequence[tuple[Section, Rounds]]) -> list[str]:
    """What missed an aim."""
    return [
        f"{section.name}:{row.cell[0]}"
        for section, rounds in measured
        for row in section.rows
        if row.cell in rounds and is_met(rounds, row) is False
    ]


def _plain(section: Section, rounds: Rounds) -> dict[str, object]:
    """Every round of a table, for JSON."""
    rows = [
        {
            "case": row.cell[0],
            "contender": row.cell[1],
            "unit": row.unit,
            "met": is_met(rounds, row),
            "rounds": [measured._asdict() for measured in rounds[row.cell]],
        }
        for row in section.rows
        if row.cell in rounds
    ]
    return {"table": section.name, "rows": rows}


if __name__ == "__main__":
    main()
