"""A test of the checkers: builds with one fault each, and the promise that each is seen to break.

The product has no switch for that: `broken/sitecustomize.py` changes a module as it is loaded.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest
from buntime_soak.run import Plan, run
from buntime_soak.servers import Mode

BROKEN = Path(__file__).with_name("broken")
KEYVAL = "buntime_plugin_keyval"
OFTEN = (0.1, 0.5)
"""Seconds from one fault to the next."""
SEEDS = (7, 8, 9)
"""A busy machine does little in a run, so that a fault may not show in the first."""


class Break(NamedTuple):
    """What is changed, where it shows, and in what."""

    module: str
    old: str
    new: str
    mode: Mode
    said: str
    """A pattern of what has to be said of it."""
    faults: frozenset[str] = frozenset()
    rate: float = 200.0
    seconds: float = 5.0


BREAKS = {
    "an event in halves": Break(
        f"{KEYVAL}.watch.events",
        "yield WatchEvent(bookmark, [notice.state for notice in taken.notices])",
        "for notice in taken.notices:\n"
        "                    yield WatchEvent(bookmark, [notice.state])",
        "one",
        r"^watch-\w+ was told (a total of|t\d \d times)",
    ),
    "an acknowledgement forgotten": Break(
        f"{KEYVAL}.queue.queue",
        "(result,) = await self._commit(Settle(message_id, lease), once=once)",
        "if message_id < '8':\n            return\n"
        "        (result,) = await self._commit(Settle(message_id, lease), once=once)",
        "one",
        "came again after it was acknowledged",
    ),
    "an expiry that comes early": Break(
        f"{KEYVAL}.storage.statements",
        'LIVE = "(expires_at IS NULL OR expires_at > ?)"',
        'LIVE = "(expires_at IS NULL OR expires_at > ? + 300)"',
        "one",
        "is gone .* before its end",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
async def test_a_broken_build_is_found(name: str, tmp_path: Path) -> None:
    broken = BREAKS[name]
    environ = {
        "PYTHONPATH": str(BROKEN),
        "SOAK_BREAK": json.dumps([broken.module, broken.old, broken.new]),
    }
    messages: list[str] = []
    for seed in SEEDS:
        plan = Plan(
            *(broken.mode, broken.seconds, seed, broken.rate, broken.faults, environ),
            between=OFTEN,
        )
        folder = tmp_path / str(seed)
        folder.mkdir()
        messages += [violation.message for violation in (await run(plan, folder)).violations]
        if any(re.search(broken.said, message) for message in messages):
            return
    pytest.fail(f"not found, only {messages}")
