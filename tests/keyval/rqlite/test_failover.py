"""The leader of a cluster dies under load: nothing that was acknowledged is lost, or done twice."""

from __future__ import annotations

from pathlib import Path

from keyval.rqlite.failover import fail_over
from support.sampling import share_of


def test_leaders_that_are_killed(tmp_path: Path) -> None:
    figures = fail_over(tmp_path, kills=share_of(3))
    assert figures.acknowledged > 100
    assert figures.lost == figures.doubled == figures.unseen == figures.undelivered == 0, figures
    assert not figures.differing, figures
