"""What a group of cases is to the program that runs it; `groups/` holds them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from results import Cell, Measurement, Section

Selection: TypeAlias = Mapping[str, Sequence[str]]
"""Cases to measure, by a name of the group; a name that is not there was not asked for."""


class Settings(NamedTuple):
    """How to measure."""

    seconds: int
    """Length of one measurement."""
    rounds: int
    connections: int
    """Of the load generator."""
    idle_seconds: int
    """How long idle watchers are looked at."""
    growth_max: int
    """Entries of the largest database."""
    programs: Path
    """Folder in which npm installed the other stores."""
    say: Callable[[str], None]
    """Tells whoever waits what goes on."""


class Job(NamedTuple):
    """Something that is measured once in every round, for one cell or several."""

    measure: Callable[[], Mapping[Cell, Measurement]]
    once: bool = False
    """In the first round only."""


class Plan(NamedTuple):
    """A group that is ready: its jobs, in the order of a round, and its tables."""

    jobs: Sequence[Job]
    sections: Sequence[Section]


class Group(NamedTuple):
    """A group of cases with what they need running."""

    cases: Mapping[str, Sequence[str]]
    """Its names on the command line, mostly one, and the cases of each."""
    opened: Callable[[Selection, Path, Settings], AbstractContextManager[Plan]]
    """Starts, loads and checks what is measured, in a folder of its own; ends it at the end.

    Raises `BenchmarkError`, when an answer is wrong among others.
    """
    needs_wrk: bool = True


def job(cell: Cell, measure: Callable[[], Measurement], *, once: bool = False) -> Job:
    """A job for one cell."""
    return Job(lambda: {cell: measure()}, once)
