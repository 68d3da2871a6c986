"""A short soak of the product as it is: faults come often, and nothing may be wrong."""

from __future__ import annotations

import os
from collections.abc import Set
from pathlib import Path

import pytest
from buntime_soak.faults import faults_of
from buntime_soak.report import line
from buntime_soak.run import Plan, run
from buntime_soak.servers import MODES, Mode
from buntime_soak.wallclock import HINT, find_libfaketime

pytestmark = pytest.mark.disk  # the soak kills servers while they write

SECONDS = 10.0
SEEDS = (3, 4, 5)
"""A busy machine does little in a run, so that some operations may be missing in the first."""
OFTEN = (0.3, 1.5)
"""Seconds from one fault to the next."""
KINDS = {
    *("accounts", "ack", "append", "cas", "count", "deliver", "delete", "enqueue", "get", "glance"),
    *("last-count", "last-log", "last-read", "lend", "log", "look", "move", "nack", "put"),
    *("queue-end", "read", "step", "sum", "tail", "tokens", "told", "transfer", "watch-end"),
}
TIMED = {"ack", "deliver", "enqueue", "glance", "lend", "log", "put", "tail", "told"}
"""What has to do with clocks. Few operations fit between starts of servers."""


async def check(mode: Mode, faults: Set[str], wanted: Set[str], folder: Path) -> None:
    kinds: set[str] = set()
    done: set[str] = set()
    for seed in SEEDS:
        own = folder / str(seed)
        own.mkdir()
        result = await run(Plan(mode, SECONDS, seed, 150.0, faults, between=OFTEN), own)
        for violation in result.violations:
            print(violation.message, *map(line, violation.excerpt), sep="\n")
        assert not result.violations
        kinds |= result.history.counts().keys()
        done |= {fault.kind for fault in result.history.faults}
        if kinds >= wanted and done:
            return
    pytest.fail(f"nobody did {wanted - kinds}; faults: {done}")


@pytest.mark.parametrize("mode", MODES)
async def test_nothing_is_wrong(mode: Mode, tmp_path: Path) -> None:
    await check(mode, faults_of(mode).keys() - {"clock"}, KINDS, tmp_path)


@pytest.mark.parametrize("mode", ["workers", "libsql"])
async def test_nothing_is_wrong_while_clocks_are_set(mode: Mode, tmp_path: Path) -> None:
    if find_libfaketime() is None:
        if os.environ.get("CI"):
            pytest.fail(f"{HINT}: it is needed in CI")
        pytest.skip(f"{HINT}: clocks that are set are NOT tested")
    await check(mode, {"clock", "kill", "restart"}, TIMED, tmp_path)
