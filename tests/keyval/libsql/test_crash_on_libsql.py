"""The host dies in the middle of writing to libSQL servers, and comes back to them."""

# ruff: noqa: F403 - whatever tests they have, they run here too
from __future__ import annotations

from keyval.service.test_crash import *
