"""What is remembered and logged of an engine that fails."""

from __future__ import annotations

import logging

import pytest
from buntime_database import (
    DatabaseBusy,
    DatabaseClosed,
    DatabaseDamaged,
    DatabaseError,
    DatabaseFull,
    DatabaseLost,
    DatabaseUnavailable,
    InvalidStatement,
    OutcomeUnknown,
)
from buntime_plugin_database.shared import vitals as module
from buntime_plugin_database.shared.vitals import Vitals


@pytest.fixture
def vitals() -> Vitals:
    return Vitals("engine")


def test_one_line_for_each_kind_and_one_for_its_end(
    vitals: Vitals, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr(module, "monotonic", lambda: now)
    caplog.set_level(logging.INFO)
    for _ in range(3):
        vitals.failed("writes", DatabaseFull("disk full"))
    vitals.failed("reads", DatabaseUnavailable("gone"))
    assert vitals.problem() == "writes fail: disk full; reads fail: gone"
    vitals.failed("writes", DatabaseUnavailable("worse"))
    now += 31
    vitals.failed("writes", DatabaseUnavailable("worst"))
    vitals.worked("reads")
    vitals.worked("reads")
    assert vitals.problem() == "writes fail: worst"
    vitals.worked("writes")
    assert vitals.problem() is None
    assert [record.getMessage() for record in caplog.records] == [
        "engine: writes fail: disk full",
        "engine: reads fail: gone",
        "engine: writes still fail: worst",
        "engine: reads work again, after 1 failures in 31.0 s",
        "engine: writes work again, after 5 failures in 31.0 s",
    ]


@pytest.mark.parametrize(
    ("error", "is_fault"),
    [
        (DatabaseUnavailable("x"), True),
        (DatabaseFull("x"), True),
        (OutcomeUnknown("x"), True),
        (DatabaseBusy("x"), False),
        (DatabaseClosed("x"), False),
        (DatabaseLost("x"), False),
        (DatabaseDamaged("x"), False),
        (InvalidStatement("x"), False),
    ],
)
def test_only_the_engines_own_fault_counts(
    vitals: Vitals, error: DatabaseError, is_fault: bool
) -> None:
    vitals.failed("writes", error)
    assert vitals.failing is is_fault
