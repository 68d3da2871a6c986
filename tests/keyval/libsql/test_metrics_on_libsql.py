"""Metrics that survive restarts of hosts whose store is on libSQL servers."""

# ruff: noqa: F403 - the tests are those of the embedded engine
from __future__ import annotations

from keyval.metrics.test_metrics_saving import *
