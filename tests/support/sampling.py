"""Samples of tests that repeat on something else what is seen elsewhere; `--wide` runs them all."""

from __future__ import annotations

from zlib import crc32


def is_in_sample(name: str, one_in: int) -> bool:
    """Whether a test is among those that run; its name decides, so it is the same each time."""
    return crc32(name.encode()) % one_in == 0
