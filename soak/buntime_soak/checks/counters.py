"""Sums count every increment once.

A value that is read lies between the sum of what was answered before the read began and the sum
of what may have been done before it ended. Increments are positive.

Kinds: `sum` (asked: the increment), `count` (got: the value), `last-count`, made after everything
has come to rest. Increments that were repeated under one idempotency key are one operation.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate

from buntime_soak.history import Op, Violation, by_subject, of_kinds

SHOWN = 8


def check(ops: Sequence[Op]) -> list[Violation]:
    """Every counter for itself."""
    found: list[Violation] = []
    for subject, mine in by_subject(of_kinds(ops, "sum", "count", "last-count")).items():
        sums = [op for op in mine if op.kind == "sum" and op.outcome != "failed"]
        sure = _Timeline([(op.end, op.asked) for op in sums if op.outcome == "ok"])
        possible = _Timeline([(op.call, op.asked) for op in sums])
        for read in mine:
            if read.kind == "sum" or read.outcome != "ok":
                continue
            least = sure.before(read.call) if read.fresh else 0
            most = possible.before(read.end)
            if not least <= read.got <= most:
                between = f"{least} to {most}" if least != most else f"{least}"
                near = [op for op in sums if op.end >= read.call - 5][:SHOWN]
                found.append(
                    Violation(
                        "counters", f"{subject} is {read.got}, and must be {between}", (*near, read)
                    )
                )
    return found


class _Timeline:
    """A sum that grows with time."""

    def __init__(self, steps: Sequence[tuple[float, int]]) -> None:
        ordered = sorted(steps)
        self._moments = [moment for moment, _ in ordered]
        self._sums = [0, *accumulate(amount for _, amount in ordered)]

    def before(self, moment: float) -> int:
        """The sum of all steps before a moment."""
        return self._sums[bisect_left(self._moments, moment)]
