"""Registers are linearizable: every operation takes effect at one moment between its call and its
end, and whoever reads sees exactly what took effect before.

The search is Wing and Gong's with remembered configurations, and runs for each key alone, which
linearizability allows. A write whose outcome is unknown takes effect at any moment from its call
on, or never.

Kinds: `get` (got: the value, or None), `put` (asked: the value), `cas` (asked: the value that the
check names, and the new one; got: whether it held), `delete` (got: whether there was one).
Every value is written once, so a versionstamp in a check names a value.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import Any

from buntime_soak.history import Op, Violation, by_subject, of_kinds

KINDS = ("get", "put", "cas", "delete")
MAX_CONFIGURATIONS = 400_000
"""Of one key. Loads change keys long before a search becomes so large."""
EXCERPT = 12


def check(ops: Sequence[Op]) -> list[Violation]:
    """Every register for itself."""
    found: list[Violation] = []
    for subject, mine in by_subject(of_kinds(ops, *KINDS)).items():
        counted = [op for op in mine if _counts(op)]
        if is_linearizable(counted):
            continue
        shown = _shortest(counted)
        found.append(Violation("registers", f"{subject} is not linearizable", _excerpt(shown)))
    return found


def is_linearizable(ops: Sequence[Op]) -> bool:
    """Whether some order explains all answers. Raises `OverflowError` where that takes too long."""
    ordered = sorted(ops, key=lambda op: op.call)
    ends = [inf if op.outcome == "unknown" else op.end for op in ordered]
    must = sum(1 << index for index, end in enumerate(ends) if end != inf)
    seen: set[tuple[int, Any]] = set()
    stack: list[tuple[int, Any]] = [(0, None)]
    while stack:
        done, state = stack.pop()
        done = _with_reads(ordered, ends, done, state)
        if done & must == must:
            return True
        if (done, state) in seen:
            continue
        seen.add((done, state))
        if len(seen) > MAX_CONFIGURATIONS:
            raise OverflowError(f"more than {MAX_CONFIGURATIONS} configurations")
        for index in reversed(_next(ordered, ends, done)):
            possible, after = _step(state, ordered[index])
            if possible and after != state:
                stack.append((done | 1 << index, after))
    return False


def _counts(op: Op) -> bool:
    """What failed did nothing, and a read without an answer says nothing."""
    if op.outcome == "ok":
        return op.fresh
    return op.outcome == "unknown" and op.kind != "get"


def _next(ordered: Sequence[Op], ends: Sequence[float], done: int) -> list[int]:
    """What may come next: nothing else that is left ended before it was called."""
    found: list[int] = []
    first_end = inf
    for index, op in enumerate(ordered):
        if done >> index & 1:
            continue
        if op.call > first_end:
            break
        found.append(index)
        first_end = min(first_end, ends[index])
    return found


def _with_reads(ordered: Sequence[Op], ends: Sequence[float], done: int, state: Any) -> int:
    """Take what changes nothing and is right now: to take it at once loses no order."""
    while True:
        before = done
        for index in _next(ordered, ends, done):
            if ends[index] != inf and _step(state, ordered[index]) == (True, state):
                done |= 1 << index
        if done == before:
            return done


def _step(state: Any, op: Op) -> tuple[bool, Any]:
    """Whether the answer fits, and the state afterwards."""
    match op.kind:
        case "get":
            return op.got == state, state
        case "put":
            return True, op.asked
        case "delete":
            there = state is not None
            return op.outcome == "unknown" or op.got == there, None
        case _:
            expected, new = op.asked
            holds = state == expected
            after = new if holds else state
            return op.outcome == "unknown" or op.got == holds, after


def _shortest(ops: Sequence[Op]) -> list[Op]:
    """The history up to the first answer that nothing explains any more."""
    ends = sorted(op.end for op in ops if op.outcome == "ok")
    low, high = 0, len(ends) - 1
    while low < high:
        middle = (low + high) // 2
        if is_linearizable(_until(ops, ends[middle])):
            low = middle + 1
        else:
            high = middle
    return _until(ops, ends[low])


def _until(ops: Sequence[Op], moment: float) -> list[Op]:
    """What was known at a moment: what had not ended by then may have been done, or not."""
    known: list[Op] = []
    for op in ops:
        if op.end <= moment or (op.outcome == "unknown" and op.call <= moment):
            known.append(op)
        elif op.call <= moment and op.kind != "get":
            known.append(
                Op(op.kind, op.subject, op.client, op.host, op.call, op.end, "unknown", op.asked)
            )
    return known


def _excerpt(ops: Sequence[Op]) -> list[Op]:
    return sorted(ops, key=lambda op: op.end)[-EXCERPT:]
