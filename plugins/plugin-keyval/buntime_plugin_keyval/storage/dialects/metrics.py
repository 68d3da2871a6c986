"""Measurements that outlive restarts."""

from __future__ import annotations

from typing import NamedTuple


class MetricsSql(NamedTuple):
    """Operations on the saved measurements of each operation."""

    load: str
    """Operation, count, errors, sum of milliseconds, buckets as a JSON array."""
    save: str
    """The same and the time on the wall: adds them to what is there."""
    forget: str
    """Forgets everything."""
