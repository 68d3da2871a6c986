"""From measurements to a table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

import apsw
from cases import Aim
from load import Measurement
from rich import box
from rich.table import Table

HEADINGS = ("case", "what", "requests/s", "spread", "p50 ms", "p99 ms", "ratio", "aim", "met")
LEFT = 2
"""Headings whose columns are aligned to the left."""


class Line(NamedTuple):
    """One line: the medians of all rounds."""

    case: str
    title: str
    median: Measurement
    spread: float
    """Fastest round less slowest one, as a share of the median: how much to trust the line."""
    ratio: float | None
    """Share of the bare application's rate; None for what runs without HTTP."""
    aim: Aim | None

    @property
    def met(self) -> bool | None:
        """Whether the aim is met; None without an aim."""
        if self.aim is None or self.ratio is None:
            return None
        return self.ratio >= self.aim.ratio

    def cells(self) -> tuple[str, ...]:
        """The line as texts."""
        rate, p50, p99 = self.median
        met = {None: "", True: "yes", False: "no"}[self.met]
        ratio = "" if self.ratio is None else f"{self.ratio:.4f}"
        aim = "" if self.aim is None else self.aim.text
        times = (f"{p50:.3f}", f"{p99:.3f}")
        spread = f"{self.spread:.0%}"
        return (self.case, self.title, f"{rate:,.0f}", spread, *times, ratio, aim, met)


def medians(rounds: Sequence[Measurement]) -> Measurement:
    """The median of each number."""
    return Measurement(*(median(numbers) for numbers in zip(*rounds, strict=True)))


def spread(rounds: Sequence[Measurement]) -> float:
    """How far the rounds lie apart, as a share of their median."""
    rates = [measured.rate for measured in rounds]
    return (max(rates) - min(rates)) / median(rates)


def ratio(rounds: Sequence[Measurement], bare: Sequence[Measurement]) -> float:
    """Median of the rates' ratios within each round, so that both saw the same machine."""
    return median(ours.rate / theirs.rate for ours, theirs in zip(rounds, bare, strict=True))


def machine(load: str) -> dict[str, str]:
    """What the numbers depend on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cores": f"{len(os.sched_getaffinity(0))}, shared by load and server",
        "platform": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
        "SQLite": apsw.sqlite_lib_version(),
        "load": load,
    }


def as_rich(lines: Sequence[Line], facts: Mapping[str, str]) -> Table:
    """For the terminal."""
    missed = [line.met is False for line in lines]
    return rich_table(HEADINGS, [line.cells() for line in lines], missed, facts)


def as_markdown(lines: Sequence[Line], facts: Mapping[str, str]) -> str:
    """For a document."""
    return markdown_table(HEADINGS, [line.cells() for line in lines], facts)


def rich_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    missed: Sequence[bool],
    facts: Mapping[str, str],
) -> Table:
    """Any rows, for the terminal; those that missed their aim are red."""
    table = Table(caption=", ".join(f"{k}: {v}" for k, v in facts.items()), box=box.SIMPLE)
    for index, heading in enumerate(headings):
        table.add_column(heading, justify="left" if index < LEFT else "right", no_wrap=True)
    for cells, is_missed in zip(rows, missed, strict=True):
        table.add_row(*cells, style="red" if is_missed else "")
    return table


def markdown_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], facts: Mapping[str, str]
) -> str:
    """Any rows, for a document."""
    aligned = ["---" if index < LEFT else "---:" for index in range(len(headings))]
    text = "\n".join(f"| {' | '.join(row)} |" for row in (headings, aligned, *rows))
    return f"{', '.join(f'{k}: {v}' for k, v in facts.items())}.\n\n{text}\n"
