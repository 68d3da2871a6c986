"""Samples of what finds little more by being longer; `--wide` runs all of it.

Tests that repeat on something else what is seen elsewhere run on some cases, by name. Tests that
try generated cases try fewer of them.
"""

from __future__ import annotations

from zlib import crc32

_SHARE = 4
"""One in so many generated cases is tried, unless all are asked for."""

_is_wide = False


def set_wide(*, is_wide: bool) -> None:
    """Whether shares are the whole; it is said before modules of tests are imported."""
    global _is_wide
    _is_wide = is_wide


def is_in_sample(name: str, one_in: int) -> bool:
    """Whether a test is among those that run; its name decides, so it is the same each time."""
    return crc32(name.encode()) % one_in == 0


def share_of(cases: int) -> int:
    """How many of so many generated cases a test tries: at least one, with `--wide` all."""
    return cases if _is_wide else -(-cases // _SHARE)
