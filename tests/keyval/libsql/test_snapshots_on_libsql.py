"""Snapshots on a libSQL server: they are collected, since nothing can be kept open there."""

# ruff: noqa: F403 - the tests are those of the embedded engine
from __future__ import annotations

from keyval.snapshots.test_snapshots import *
