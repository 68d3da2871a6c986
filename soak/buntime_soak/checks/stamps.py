"""Versionstamps follow the order of commits, and readers behind their last key miss nothing.

Any operation with a `stamp` counts. Kinds of the log of `$uuidv7` keys: `log` (stamp: the id that
the key became; asked: the value, which is unique), `tail` (subject: the reader; asked: the id
behind which it read; got: the ids), `last-log` (got: values by id, after all has come to rest).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from buntime_soak.history import Op, Violation, by_subject, of_kinds

NAME = "stamps"


def check(ops: Sequence[Op]) -> list[Violation]:
    """Order, uniqueness, and the readers of the log."""
    return [*_order(ops), *_twice(ops), *_tails(ops)]


def _order(ops: Sequence[Op]) -> list[Violation]:
    """Whoever began after another one was answered has the greater stamp."""
    found: list[Violation] = []
    stamped = [op for op in ops if op.stamp is not None and op.outcome == "ok"]
    answered = sorted(stamped, key=lambda op: op.end)
    highest: Op | None = None
    index = 0
    for op in sorted(stamped, key=lambda op: op.call):
        while index < len(answered) and answered[index].end < op.call:
            if highest is None or (answered[index].stamp or "") > (highest.stamp or ""):
                highest = answered[index]
            index += 1
        if highest is not None and (op.stamp or "") <= (highest.stamp or ""):
            found.append(
                Violation(
                    NAME, f"{op.stamp} was given after {highest.stamp} was answered", (highest, op)
                )
            )
    return found


def _twice(ops: Sequence[Op]) -> list[Violation]:
    """No two commits share a stamp."""
    found: list[Violation] = []
    first: dict[str, Op] = {}
    for op in ops:
        if op.stamp is not None and op.outcome == "ok":
            other = first.setdefault(op.stamp, op)
            if other is not op:
                found.append(Violation(NAME, f"{op.stamp} was given to two commits", (other, op)))
    return found


def _log(ops: Sequence[Op], last: Op) -> list[Violation]:
    """What the log holds in the end."""
    wrong: list[tuple[str, Sequence[Op]]] = [
        (f"{op.stamp} was logged and is lost", (op, last))
        for op in ops
        if op.outcome == "ok" and op.stamp not in last.got
    ]
    counted = Counter(last.got.values())
    wrong += [(f"{v} was logged {n} times", (last,)) for v, n in counted.items() if n > 1]
    failed = [op for op in ops if op.outcome == "failed" and op.asked in counted]
    wrong += [(f"{op.asked} is there, and was refused", (op,)) for op in failed]
    return [Violation(NAME, text, shown) for text, shown in wrong]


def _tails(ops: Sequence[Op]) -> list[Violation]:
    """The log, and those who followed it."""
    logged = of_kinds(ops, "log")
    by_stamp = {op.stamp: op for op in logged if op.stamp is not None}
    found: list[Violation] = []
    for last in of_kinds(ops, "last-log"):
        found += _log(logged, last)
        for reader, reads in by_subject(of_kinds(ops, "tail")).items():
            good = [read for read in reads if read.outcome == "ok"]
            seen = {stamp for read in good for stamp in read.got}
            missed = [stamp for stamp in last.got if stamp not in seen]
            for stamp in sorted(missed):
                past = next((read for read in good if read.got and max(read.got) > stamp), None)
                if past is not None:
                    log = by_stamp.get(stamp)
                    shown = [past] if log is None else [log, past]
                    text = f"{reader} read past {stamp} and never saw it"
                    found.append(Violation(NAME, text, shown))
    return found
