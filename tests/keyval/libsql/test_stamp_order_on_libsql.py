"""The order of versionstamps on a libSQL server, which several hosts write to."""

# ruff: noqa: F403 - the tests are those of the embedded engine
from __future__ import annotations

from keyval.service.test_stamp_order import *
from keyval.service.test_versionstamps import *
