"""What was asked, when, and what came of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from msgspec import Struct

Outcome = Literal["ok", "failed", "unknown"]
"""`failed`: surely not done, nothing was written. `unknown`: all of it was done, now or later, or
nothing of it."""


class Op(Struct, frozen=True, omit_defaults=True):
    """One operation, or one thing that a stream told."""

    kind: str
    """What was done: `put`, `cas`, `sum` and so on; each checker says which kinds it reads."""
    subject: str
    """What it was done to: the path of a key, or the name of a stream."""
    client: str
    """Who did it; one client does one thing at a time."""
    host: str
    """Who was asked."""
    call: float
    """Seconds since the run began, just before the request was sent."""
    end: float
    """… and just after the answer was complete, or its end was sure."""
    outcome: Outcome
    asked: Any = None
    """What was to be written, or what the operation rested on."""
    got: Any = None
    """What was answered."""
    stamp: str | None = None
    """Versionstamp of the commit."""
    fresh: bool = True
    """Of a read: whether it promises the newest state, not just a state."""
    note: str = ""
    """Why it failed, or what else is worth knowing in a report."""


class Fault(Struct, frozen=True):
    """Something that was done to the servers."""

    kind: str
    what: str
    begin: float
    end: float


class Violation(NamedTuple):
    """A promise that was broken, with the operations that show it."""

    checker: str
    message: str
    excerpt: Sequence[Op] = ()


class History:
    """All operations of a run, in the order in which they ended."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self.ops: list[Op] = []
        self.faults: list[Fault] = []
        self.oddities: list[Violation] = []
        """Answers that no request should get, found while they came in."""

    def now(self) -> float:
        """Seconds since the run began, on a clock that nobody sets."""
        return time.monotonic() - self._began

    def add(self, op: Op) -> None:
        """Keep an operation."""
        self.ops.append(op)

    def counts(self) -> dict[str, Counter[str]]:
        """How many operations of each kind had each outcome."""
        found: dict[str, Counter[str]] = {}
        for op in self.ops:
            found.setdefault(op.kind, Counter())[op.outcome] += 1
        return dict(sorted(found.items()))


def of_kinds(ops: Iterable[Op], *kinds: str) -> list[Op]:
    """The operations of these kinds."""
    return [op for op in ops if op.kind in kinds]


def by_subject(ops: Iterable[Op]) -> dict[str, list[Op]]:
    """The operations of each subject, in their order."""
    found: dict[str, list[Op]] = {}
    for op in ops:
        found.setdefault(op.subject, []).append(op)
    return found
