"""A test of the checkers: builds with one fault each, and the promise that each is seen to break.

The product has no switch for that: `broken/sitecustomize.py` changes a module as it is loaded.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
from buntime_soak.run import SHARES, Plan, run
from buntime_soak.servers import Mode

pytestmark = pytest.mark.disk  # the soak kills servers while they write

BROKEN = Path(__file__).with_name("broken")
KEYVAL = "buntime_plugin_keyval"
OFTEN = (0.1, 0.5)
"""Seconds from one fault to the next."""
STAMP = "[0-9a-f-]{36}"
SEEDS = range(7, 13)
"""A busy machine does little in a run, so that a fault may not show in the first."""


Changes = Mapping[str, Sequence[tuple[str, str]]]
"""By module, texts of it and what stands there instead."""

_WRITING = "writing = [job for job in group if job.is_writing]"
SLOW: Changes = {
    f"{KEYVAL}.engine.commit": [
        (_WRITING, f"await asyncio.sleep(perf_counter() % 0.05)\n        {_WRITING}")
    ],
}
"""Gives other processes time to commit between the decision of a group and its commit, sometimes
more and sometimes less: what the product guards against there would show once in many runs."""

_UUID4 = "from uuid_utils import uuid4"
APART: Changes = {
    f"{KEYVAL}.model.versionstamps": [
        (_UUID4, f"{_UUID4}\nimport os\n_AHEAD = os.getpid() * 389 % 2003"),
        ("number = self._number + 1", "number = self._number + 1\n        now_ms += _AHEAD"),
    ]
}
"""Lets the clocks that versionstamps are made by differ, by a second or so."""

_FIRM = 'f"iif({LOGGED_STAMP} > {{stamp}} OR {NOTED_STAMP} > {{stamp}}, NULL, {{stamp}})"'
_ACK = "(result,) = await self._commit(Settle(message_id, lease, queue), once=once)"


class Break(NamedTuple):
    """What is changed, where it shows, and in what."""

    changes: Changes
    mode: Mode
    said: str
    """A pattern of what has to be said of it."""
    faults: frozenset[str] = frozenset()
    rate: float = 200.0
    seconds: float = 5.0
    shares: Mapping[str, float] = MappingProxyType({})
    """Loads that make more than their usual part of the rate."""


BREAKS = {
    "a guard removed": Break(
        {
            **SLOW,
            f"{KEYVAL}.engine.decisions": [("if not self._seen:", "if self._seen is not None:")],
        },
        "hosts",
        "is not linearizable|and must be|shows a total of|is lost",
    ),
    "a stamp taken early": Break(
        {**APART, f"{KEYVAL}.storage.dialects.sqlite.stamps": [(_FIRM, '"{stamp}"')]},
        "hosts",
        f"{STAMP} (was given )?after {STAMP}|read past {STAMP} and never saw it",
    ),
    "a stamp that nobody knows of": Break(
        {**APART, f"{KEYVAL}.engine.writes": [("effects.append(NoteStamp())", "pass")]},
        "hosts",
        f"{STAMP} was given after {STAMP}",
    ),
    "a lost commit made again": Break(
        {
            "buntime_plugin_database.engines.libsql.writer": [
                (
                    "told = await self._find_out(witness)",
                    "return [None] * len(batches)\n            told = None",
                )
            ]
        },
        "libsql",
        r"is not linearizable|and must be|is there \d times|was logged \d times"
        r"|: 500 ",  # a message that is there already
        frozenset({"lose-commits"}),
        rate=500.0,
        seconds=8.0,
    ),
    "an event in halves": Break(
        {
            f"{KEYVAL}.features.watch.events": [
                (
                    "yield WatchEvent(bookmark, taken.states())",
                    "for state in taken.states():\n"
                    + 20 * " "
                    + "yield WatchEvent(bookmark, [state])",
                )
            ]
        },
        "one",
        r"^watch-\w+ was told (a total of|t\d \d times)",
    ),
    "an acknowledgement forgotten": Break(
        {
            f"{KEYVAL}.features.queue.queue": [
                (
                    _ACK,
                    f"if message_id < '8':\n            return\n        {_ACK}",
                )
            ]
        },
        "one",
        "came again after it was acknowledged",
    ),
    "a delivery that does not count": Break(
        {f"{KEYVAL}.features.queue.queue": [("self._deliveries.given(message)", "pass")]},
        "one",
        "came twice as attempt",
        seconds=8.0,
    ),
    "a position that is not heeded": Break(
        {
            f"{KEYVAL}.faces.http.positions": [
                ("position = max(position or 0, int(value))", "int(value)")
            ]
        },
        "libsql",
        "at any host goes back",
        rate=500.0,
        seconds=8.0,
        shares={"sessions": 0.5},
    ),
    "an expiry that comes early": Break(
        {
            f"{KEYVAL}.storage.dialects.templates": [
                (
                    'LIVE = "(expires_at IS NULL OR expires_at > ?)"',
                    'LIVE = "(expires_at IS NULL OR expires_at > ? + 300)"',
                )
            ]
        },
        "one",
        "is gone .* before its end",
    ),
}


FIRST_OF_MODE = {broken.mode: name for name, broken in reversed(BREAKS.items())}
"""The builds that always run; all others with `--wide`."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "name" in metafunc.fixturenames:
        wide = metafunc.config.getoption("wide")
        metafunc.parametrize("name", BREAKS if wide else FIRST_OF_MODE.values())


async def test_a_broken_build_is_found(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = BREAKS[name]
    for load, share in broken.shares.items():
        monkeypatch.setitem(SHARES, load, share)
    assert all(map(find_spec, broken.changes)), "a module to be changed is not there"
    environ = {
        "PYTHONPATH": str(BROKEN),
        "SOAK_BREAK": json.dumps(broken.changes),
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
