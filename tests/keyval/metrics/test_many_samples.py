"""Many samples that are recorded together count as much as one by one."""

from __future__ import annotations

import pytest
from buntime_host import Workers
from buntime_plugin_keyval.engine.recorder import Recorder


@pytest.mark.parametrize(
    "milliseconds",
    [[3.0], [1.5, 4.0, 2.0], [1.0, 1.0], [5.0, 5.5], [0.1, 70_000.0, 7.0, 7.0], [9_000.0] * 3],
    ids=["one", "one bucket", "at its end", "two buckets", "far apart", "beyond all"],
)
def test_samples_recorded_together(milliseconds: list[float]) -> None:
    together, each = Recorder(Workers.alone()), Recorder(Workers.alone())
    seconds = [one / 1000 for one in milliseconds]
    together.record_all("set", seconds)
    for one in seconds:
        each.record("set", one)
    ours, theirs = together.totals["set"], each.totals["set"]
    assert (ours.count, ours.errors, ours.buckets) == (theirs.count, 0, theirs.buckets)
    assert ours.latency_ms == pytest.approx(theirs.latency_ms)
