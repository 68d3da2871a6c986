"""Histories by hand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from buntime_soak.history import Op, Outcome, Violation


def op(
    kind: str,
    subject: str,
    call: float,
    end: float,
    *,
    asked: Any = None,
    got: Any = None,
    outcome: Outcome = "ok",
    stamp: str | None = None,
    host: str = "h0",
    fresh: bool = True,
) -> Op:
    """An operation of somebody."""
    return Op(kind, subject, "somebody", host, call, end, outcome, asked, got, stamp, fresh)


def said(violations: Sequence[Violation]) -> str:
    """What the violations say."""
    return "\n".join(violation.message for violation in violations)
