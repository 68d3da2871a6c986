"""A short soak of the product as it is: faults come often, and nothing may be wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from buntime_soak.faults import faults_of
from buntime_soak.report import line
from buntime_soak.run import Plan, run
from buntime_soak.servers import Mode

SECONDS = 10.0
OFTEN = (0.3, 1.5)
"""Seconds from one fault to the next."""
KINDS = {
    *("accounts", "ack", "append", "cas", "count", "deliver", "delete", "enqueue", "get", "glance"),
    *("last-count", "last-log", "last-read", "lend", "log", "look", "move", "nack", "put"),
    *("queue-end", "read", "step", "sum", "tail", "tokens", "told", "transfer", "watch-end"),
}


@pytest.mark.parametrize("mode", ["one", "workers", "hosts"])
async def test_nothing_is_wrong(mode: Mode, tmp_path: Path) -> None:
    faults = frozenset(faults_of(mode)) - {"clock"}
    result = await run(Plan(mode, SECONDS, 3, 150.0, faults, between=OFTEN), tmp_path)
    for violation in result.violations:
        print(violation.message, *map(line, violation.excerpt), sep="\n")
    assert not result.violations
    assert result.history.faults
    assert result.history.counts().keys() >= KINDS
