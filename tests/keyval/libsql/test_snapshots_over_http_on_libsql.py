"""Snapshots over HTTP whose store is on a libSQL server with a replica."""

# ruff: noqa: F403 - the tests are those of the embedded engine
from __future__ import annotations

from keyval.snapshots.test_snapshots_over_http import *
