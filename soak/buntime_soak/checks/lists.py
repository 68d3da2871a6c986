"""Appends happen once, in an order that all readers agree on, and stay.

Kinds: `append` (asked: the one element), `read` (got: the list; `fresh`: it shows all that was
answered before), `last-read`, made after everything has come to rest.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from buntime_soak.history import Op, Violation, by_subject, of_kinds

NAME = "lists"


def check(ops: Sequence[Op]) -> list[Violation]:
    """Every list for itself."""
    found: list[Violation] = []
    for subject, mine in by_subject(of_kinds(ops, "append", "read", "last-read")).items():
        found += _check(subject, mine)
    return found


def _check(subject: str, ops: Sequence[Op]) -> list[Violation]:
    found: list[Violation] = []
    appends = {op.asked: op for op in ops if op.kind == "append"}
    reads = [op for op in ops if op.kind != "append" and op.outcome == "ok"]
    longest = max(reads, key=lambda op: (op.kind == "last-read", len(op.got)), default=None)
    if longest is None:
        return []

    def broken(message: str, *shown: Op) -> None:
        found.append(Violation(NAME, f"{subject}: {message}", shown))

    order: list[Any] = longest.got
    place = {element: index for index, element in enumerate(order)}
    for element, count in Counter(order).items():
        append = appends.get(element)
        if append is None:
            broken(f"{element!r} is there, and nobody appended it", longest)
        elif append.outcome == "failed":
            broken(f"{element!r} is there, and its append failed", append, longest)
        elif count > 1:
            broken(f"{element!r} is there {count} times", append, longest)
    if longest.kind == "last-read":
        for append in appends.values():
            if append.outcome == "ok" and append.asked not in place:
                broken(f"{append.asked!r} was appended and is lost", append, longest)
    for read in reads:
        if read.got != order[: len(read.got)]:
            at = next(
                (i for i, (a, b) in enumerate(zip(read.got, order, strict=False)) if a != b),
                len(order),
            )
            broken(f"two readers disagree on the order from place {at} on", read, longest)
    found += _in_time(subject, [a for a in appends.values() if a.asked in place], reads, place)
    return found


def _in_time(
    subject: str, appends: Sequence[Op], reads: Sequence[Op], place: dict[Any, int]
) -> list[Violation]:
    """What was answered before something else began comes before it."""
    found: list[Violation] = []
    answered = sorted((op for op in appends if op.outcome == "ok"), key=lambda op: op.end)
    events = [(op.call, place[op.asked], op) for op in appends]
    events += [(op.call, len(op.got), op) for op in reads if op.fresh]
    events.sort(key=lambda event: event[0])
    latest: Op | None = None
    index = 0
    for call, where, op in events:
        while index < len(answered) and answered[index].end < call:
            append = answered[index]
            if latest is None or place[append.asked] > place[latest.asked]:
                latest = append
            index += 1
        if latest is not None and place[latest.asked] >= where and latest is not op:
            what = "an append" if op.kind == "append" else "a read"
            found.append(
                Violation(
                    NAME, f"{subject}: {what} came before one that was over by then", (latest, op)
                )
            )
    return found
