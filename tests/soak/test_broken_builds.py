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
STAMP = "[0-9a-f-]{36}"


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
    "a guard removed": Break(
        f"{KEYVAL}.decisions",
        "if not self._seen:",
        "if self._seen or not self._seen:",
        "hosts",
        "is not linearizable|and must be|shows a total of|is lost",
        frozenset({"pause"}),
        rate=500.0,
        seconds=8.0,
    ),
    "a stamp taken early": Break(
        f"{KEYVAL}.storage.statements",
        '_FIRM_STAMP = f"iif({_NEWEST_STAMP} > {{stamp}}, NULL, {{stamp}})"',
        '_FIRM_STAMP = "{stamp}"',
        "hosts",
        f"{STAMP} (was given )?after {STAMP}|read past {STAMP} and never saw it",
        frozenset({"pause"}),
        rate=500.0,
        seconds=8.0,
    ),
    "a lost commit made again": Break(
        "buntime_plugin_database.libsql.writer",
        "told = await self._find_out(self._witness)",
        "return await self._commit(group)\n            told = None",
        "libsql",
        r"is not linearizable|and must be|is there \d times|was logged \d times",
        frozenset({"lose"}),
    ),
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
        "(result,) = await self._commit(Settle(message_id, lease))",
        "if message_id < '8':\n            return\n"
        "        (result,) = await self._commit(Settle(message_id, lease))",
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
    plan = Plan(broken.mode, broken.seconds, 7, broken.rate, broken.faults, environ, between=OFTEN)
    result = await run(plan, tmp_path)
    messages = [violation.message for violation in result.violations]
    assert any(re.search(broken.said, message) for message in messages), messages
