"""Conditions of batch steps, in both spellings."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_plugin_database.faces.hrana.conditions import StepOutcome, holds
from buntime_plugin_database.faces.hrana.errors import RequestRefused

OUTCOMES = [StepOutcome.OK, StepOutcome.ERROR, StepOutcome.SKIPPED]


@pytest.mark.parametrize(
    ("standard", "shorthand", "expected"),
    [
        ({"type": "ok", "step": 0}, {"ok": 0}, True),
        ({"type": "ok", "step": 1}, {"ok": 1}, False),
        ({"type": "ok", "step": 2}, {"ok": 2}, False),
        ({"type": "error", "step": 1}, {"error": 1}, True),
        ({"type": "error", "step": 2}, {"error": 2}, False),
        ({"type": "ok", "step": 9}, {"ok": 9}, False),
        ({"type": "error", "step": 9}, {"error": 9}, False),
        ({"type": "not", "cond": {"type": "ok", "step": 0}}, {"not": {"ok": 0}}, False),
        ({"type": "and", "conds": []}, {"and": []}, True),
        ({"type": "or", "conds": []}, {"or": []}, False),
        (
            {"type": "and", "conds": [{"type": "ok", "step": 0}, {"type": "ok", "step": 1}]},
            {"and": [{"ok": 0}, {"ok": 1}]},
            False,
        ),
        (
            {"type": "or", "conds": [{"type": "ok", "step": 1}, {"type": "error", "step": 1}]},
            {"or": [{"ok": 1}, {"error": 1}]},
            True,
        ),
        ({"type": "is_autocommit"}, {"is_autocommit": True}, True),
        (None, {}, True),
    ],
)
def test_both_spellings_mean_the_same(standard: Any, shorthand: Any, expected: bool) -> None:
    for condition in (standard, shorthand):
        assert holds(condition, OUTCOMES, autocommit=True) is expected


def test_asking_for_an_open_transaction() -> None:
    assert holds({"is_autocommit": False}, [], autocommit=False)
    assert not holds({"is_autocommit": False}, [], autocommit=True)
    assert not holds({"type": "is_autocommit"}, [], autocommit=False)


def deep(levels: int) -> dict[str, Any]:
    condition: dict[str, Any] = {"ok": 0}
    for _ in range(levels):
        condition = {"not": condition}
    return condition


@pytest.mark.parametrize(
    "condition",
    [
        5,
        {"type": "nonsense"},
        {"nonsense": 1},
        {"type": 5},
        {"type": "ok"},
        {"ok": -1},
        {"ok": True},
        {"ok": "0"},
        {"and": {"ok": 0}},
        {"not": [1]},
        deep(100),
    ],
)
def test_what_makes_no_sense_is_refused(condition: Any) -> None:
    with pytest.raises(RequestRefused):
        holds(condition, OUTCOMES, autocommit=True)
