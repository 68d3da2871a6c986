"""Conditions of batch steps, in the standard's spelling and in the original server's shorthand.

`{"type": "ok", "step": 0}` and `{"ok": 0}` say the same, and so on for `error`, `not`, `and`,
`or`. `{"type": "is_autocommit"}` asks the stream; `{"is_autocommit": false}` wants the opposite.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

from buntime_plugin_database.faces.hrana.errors import RequestRefused

MAX_DEPTH = 32
MAX_PARTS = 10_000
"""Conditions of an `and` or `or`: one for each step that there may be."""


class StepOutcome(Enum):
    """The outcome of a step."""

    OK = "ok"
    ERROR = "error"
    SKIPPED = "skipped"


def holds(
    condition: Any, outcomes: Sequence[StepOutcome], *, autocommit: bool, depth: int = 0
) -> bool:
    """Whether a step may run. A step that was skipped, or is yet to come, is neither ok nor error.

    An empty condition holds. Raises `RequestRefused` for one that makes no sense.
    """
    if condition is None or condition == {}:
        return True
    if not isinstance(condition, dict) or depth > MAX_DEPTH:
        raise _refusal("a condition must be an object, and not nested too deeply")
    kind, operand = _read(condition)
    match kind:
        case "ok" | "error":
            if not isinstance(operand, int) or isinstance(operand, bool) or operand < 0:
                raise _refusal(f"condition {kind} needs the number of a step")
            return operand < len(outcomes) and outcomes[operand].value == kind
        case "not":
            return not holds(operand, outcomes, autocommit=autocommit, depth=depth + 1)
        case "and" | "or":
            if not isinstance(operand, list) or len(operand) > MAX_PARTS:
                raise _refusal(f"condition {kind} needs a list of at most {MAX_PARTS} conditions")
            parts = (
                holds(part, outcomes, autocommit=autocommit, depth=depth + 1) for part in operand
            )
            return all(parts) if kind == "and" else any(parts)
        case "is_autocommit":
            return autocommit is (operand is not False)
        case _:
            raise _refusal(f"unknown condition {str(kind)[:40]!r}")


_STANDARD_OPERANDS = {"ok": "step", "error": "step", "not": "cond", "and": "conds", "or": "conds"}
_SHORTHANDS = ("ok", "error", "not", "and", "or", "is_autocommit")


def _read(condition: dict[str, Any]) -> tuple[Any, Any]:
    kind = condition.get("type")
    if kind is not None:
        key = _STANDARD_OPERANDS.get(kind) if isinstance(kind, str) else None
        return kind, condition.get(key) if key else None
    for name in _SHORTHANDS:
        if name in condition:
            return name, condition[name]
    return next(iter(condition)), None


def _refusal(message: str) -> RequestRefused:
    return RequestRefused("HRANA_INVALID_CONDITION", message)
