"""Whoever asks one host sees what it has written and what it has seen there before.

So does who asks any host, and brings the position that the one before told.

Each key has one writer, which puts growing numbers, waits for each answer, and takes a new key
when it does not know what came of a write.

Kinds: `step` (asked: the number), `look` (got: the number, or None). `host` is where it was asked,
and one name for all hosts where positions are carried from one to the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from buntime_soak.history import Op, Violation, by_subject, of_kinds


def check(ops: Sequence[Op]) -> list[Violation]:
    """Every key at every host."""
    found: list[Violation] = []
    for subject, mine in by_subject(of_kinds(ops, "step", "look")).items():
        for host in sorted({op.host for op in mine}):
            found += _check(subject, [op for op in mine if op.host == host])
        written = {op.asked for op in mine if op.kind == "step" and op.outcome != "failed"}
        found += [
            Violation("sessions", f"{subject} shows {op.got}, which was never written", (op,))
            for op in mine
            if op.kind == "look" and op.outcome == "ok" and op.got not in (None, *written)
        ]
    return found


def _check(subject: str, ops: Sequence[Op]) -> list[Violation]:
    found: list[Violation] = []
    ended = sorted((op for op in ops if op.outcome == "ok"), key=lambda op: op.end)
    latest: Op | None = None
    index = 0
    for look in sorted((op for op in ended if op.kind == "look"), key=lambda op: op.call):
        while index < len(ended) and ended[index].end < look.call:
            if _number(ended[index]) > _number(latest):
                latest = ended[index]
            index += 1
        if _number(look) < _number(latest):
            assert latest is not None
            found.append(
                Violation(
                    "sessions",
                    f"{subject} at {look.host} goes back from {_number(latest)} to {look.got}",
                    (latest, look),
                )
            )
    return found


def _number(op: Op | None) -> int:
    if op is None:
        return 0
    value = op.asked if op.kind == "step" else op.got
    return 0 if value is None else int(value)
