"""What a run found, for people and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

from buntime_soak.history import Op, Violation
from buntime_soak.run import Result

SHOWN = 5
"""Violations of one checker that are printed with their operations; all are counted."""
WIDE = 160


def show(result: Result, console: Console) -> None:
    """Print the summary, then the violations."""
    plan, history = result.plan, result.history
    table = Table(
        title=f"{plan.mode}: {plan.seconds:.0f} s, seed {plan.seed}", title_justify="left"
    )
    for name in ("operation", "ok", "failed", "unknown"):
        table.add_column(name, justify="left" if name == "operation" else "right")
    for kind, counts in history.counts().items():
        table.add_row(kind, *(f"{counts[name]:,}" for name in ("ok", "failed", "unknown")))
    console.print(table)
    faults = Counter(fault.kind for fault in history.faults)
    said = ", ".join(f"{count} x {kind}" for kind, count in sorted(faults.items()))
    console.print(f"faults: {said or 'none'}", markup=False)
    for note in result.notes:
        console.print(f"NOTE: {note}", style="yellow", markup=False)
    if not result.violations:
        console.print(f"{plan.mode}: no violation", style="green")
        return
    shown: Counter[str] = Counter()
    for violation in result.violations:
        shown[violation.checker] += 1
        if shown[violation.checker] <= SHOWN:
            _show(violation, console)
    all_ = ", ".join(f"{count} x {name}" for name, count in shown.items())
    console.print(
        f"{plan.mode}: {shown.total()} violations ({all_}); seed {plan.seed}",
        style="red", markup=False,
    )  # fmt: skip


def _show(violation: Violation, console: Console) -> None:
    console.print(f"{violation.checker}: {violation.message}", style="bold red", markup=False)
    for op in violation.excerpt:
        console.print(f"  {line(op)}", markup=False, highlight=False)


def line(op: Op) -> str:
    """An operation as one line."""
    parts = [f"{op.call:9.4f} to {op.end:9.4f}", op.client, f"at {op.host}", op.kind, op.subject]
    if op.asked is not None:
        parts.append(f"asked {_short(op.asked)}")
    if op.got is not None:
        parts.append(f"got {_short(op.got)}")
    if op.stamp is not None:
        parts.append(op.stamp)
    parts.append(op.outcome)
    if op.note:
        parts.append(f"({_short(op.note)})")
    return "  ".join(parts)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= WIDE else f"{text[:WIDE]}…"


def as_json(result: Result) -> dict[str, Any]:
    """Everything but the operations that no violation needs."""
    plan = result.plan
    return {
        "mode": plan.mode,
        "seconds": plan.seconds,
        "seed": plan.seed,
        "rate": plan.rate,
        "operations": {kind: dict(counts) for kind, counts in result.history.counts().items()},
        "faults": msgspec.to_builtins(result.history.faults),
        "notes": result.notes,
        "violations": [
            {
                "checker": violation.checker,
                "message": violation.message,
                "operations": msgspec.to_builtins(violation.excerpt),
            }
            for violation in result.violations
        ],
    }
