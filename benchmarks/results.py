"""What is measured, and what it is compared with: values without behaviour of their own.

A measurement belongs to a *cell*: a case and the contender that did it. The rounds of a cell are
compared with those of another one round by round, so that both saw the same machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import NamedTuple, TypeAlias

Cell: TypeAlias = tuple[str, str]
"""A case and a contender."""

PER_SECOND = "/s"


class Measurement(NamedTuple):
    """What one round of one cell gave."""

    value: float
    """In the unit of its row, requests per second unless it says otherwise."""
    p50: float | None = None
    """Latency in milliseconds, where there is one."""
    p99: float | None = None
    p999: float | None = None
    cpu: float | None = None
    """Microseconds of processor time that the server spent on a request."""


Results: TypeAlias = Mapping[Cell, Sequence[Measurement]]
"""The rounds of each cell."""


class Comparison(NamedTuple):
    """What a cell is divided by."""

    heading: str
    """The column of the ratio."""
    by: Cell
    least: float | None = None
    """The aim: the least ratio."""
    most: float | None = None
    """The aim: the largest ratio."""
    of_cpu: bool = False
    """Divides the processor time of a request, of which less is better, and not the value."""


class Row(NamedTuple):
    """One line of a table."""

    cell: Cell
    title: str
    unit: str = PER_SECOND
    comparisons: Sequence[Comparison] = ()
    least: float | None = None
    """The aim: the least value."""
    most: float | None = None
    """The aim: the largest value."""


class Section(NamedTuple):
    """One table. Rows that were not measured are left out, and so are columns with nothing."""

    name: str
    """A word for it, by which documents refer to it."""
    title: str
    rows: Sequence[Row]


def middle(rounds: Sequence[Measurement]) -> Measurement:
    """The median of each number."""

    def of(numbers: Iterable[float | None]) -> float | None:
        known = [number for number in numbers if number is not None]
        return median(known) if known else None

    value = median(measured.value for measured in rounds)
    return Measurement(
        value,
        of(measured.p50 for measured in rounds),
        of(measured.p99 for measured in rounds),
        of(measured.p999 for measured in rounds),
        of(measured.cpu for measured in rounds),
    )


def spread(rounds: Sequence[Measurement]) -> float | None:
    """How far the rounds lie apart, as a share of their median; None for a single one."""
    values = [measured.value for measured in rounds]
    center = median(values)
    return (max(values) - min(values)) / center if center and len(values) > 1 else None


def ratio(results: Results, row: Row, comparison: Comparison) -> float | None:
    """Median of the quotients of each round; None where one of the two was not measured."""
    pairs = zip(results.get(row.cell, ()), results.get(comparison.by, ()), strict=False)
    if comparison.of_cpu:
        quotients = [ours.cpu / theirs.cpu for ours, theirs in pairs if ours.cpu and theirs.cpu]
    else:
        quotients = [ours.value / theirs.value for ours, theirs in pairs if theirs.value]
    return median(quotients) if quotients else None


def is_met(results: Results, row: Row) -> bool | None:
    """Whether all aims of a measured row are met; None where it has none."""
    value = middle(results[row.cell]).value
    verdicts = []
    for comparison in row.comparisons:
        found = ratio(results, row, comparison)
        if found is not None and comparison.least is not None:
            verdicts.append(found >= comparison.least)
        if found is not None and comparison.most is not None:
            verdicts.append(found <= comparison.most)
    if row.least is not None:
        verdicts.append(value >= row.least)
    if row.most is not None:
        verdicts.append(value <= row.most)
    return all(verdicts) if verdicts else None
